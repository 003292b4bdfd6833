#include "lcomp/interchange/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::golden;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

std::string gguf_error(const std::filesystem::path& path) {
  try {
    const GgufFile file(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GgufFile, ReadsEveryMetadataType) {
  LCOMP_REQUIRE(golden("formats/metadata.gguf"));
  const GgufFile file(golden("formats/metadata.gguf"));
  EXPECT_EQ(file.string_value("general.architecture"), "llama");
  EXPECT_EQ(file.unsigned_value("general.alignment"), 64u);
  EXPECT_EQ(file.unsigned_value("x.uint8"), 200u);
  EXPECT_EQ(std::get<std::int64_t>(file.find_metadata("x.int8")->value), -100);
  EXPECT_EQ(file.unsigned_value("x.uint16"), 60000u);
  EXPECT_EQ(std::get<std::int64_t>(file.find_metadata("x.int16")->value), -30000);
  EXPECT_EQ(file.unsigned_value("x.uint32"), 4000000000u);
  EXPECT_EQ(std::get<std::int64_t>(file.find_metadata("x.int32")->value), -2000000000);
  EXPECT_EQ(file.unsigned_value("x.uint64"), 9223372036854775813u);
  EXPECT_EQ(std::get<std::int64_t>(file.find_metadata("x.int64")->value), -4611686018427387904);
  EXPECT_EQ(file.float_value("x.float32"), static_cast<double>(0.1f));
  EXPECT_EQ(file.float_value("x.float64"), 0.1);
  EXPECT_EQ(file.float_value("x.int32"), -2e9);
  EXPECT_TRUE(std::get<bool>(file.find_metadata("x.bool")->value));
  EXPECT_EQ(file.string_value("x.string"), "na\u00efve \u6f22\u5b57 \U0001f600");
  EXPECT_EQ(file.find_metadata("x.absent"), nullptr);

  std::vector<std::int64_t> integers;
  for (const GgufValue& item : file.array_value("x.array_int")) integers.push_back(std::get<std::int64_t>(item.value));
  EXPECT_THAT(integers, ::testing::ElementsAre(1, -2, 3));
  EXPECT_EQ(std::get<std::string>(file.array_value("x.array_string")[2].value), "\u00e9");
  EXPECT_FALSE(std::get<bool>(file.array_value("x.array_bool")[1].value));
  EXPECT_EQ(std::get<double>(file.array_value("x.array_float")[1].value), 1.5);
  std::vector<std::vector<std::int64_t>> nested;
  for (const GgufValue& outer : file.array_value("x.array_nested")) {
    nested.emplace_back();
    for (const GgufValue& item : std::get<GgufArray>(outer.value))
      nested.back().push_back(std::get<std::int64_t>(item.value));
  }
  // The reference reader prints the nested array flat: 1 2 3 4 5.
  std::vector<std::int64_t> flat;
  for (const auto& inner : nested) flat.insert(flat.end(), inner.begin(), inner.end());
  EXPECT_GE(nested.size(), 2u);
  EXPECT_THAT(flat, ::testing::ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(file.metadata().size(), 19u);
  EXPECT_EQ(file.metadata().front().first, "general.architecture");
}

TEST(GgufFile, TypedAccessNamesFileAndKey) {
  LCOMP_REQUIRE(golden("formats/metadata.gguf"));
  const GgufFile file(golden("formats/metadata.gguf"));
  const auto message = [](const auto& access) {
    try {
      access();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message([&] { file.unsigned_value("x.string"); }),
              HasSubstr("metadata.gguf: metadata \"x.string\" is a string"));
  EXPECT_THAT(message([&] { file.unsigned_value("x.int8"); }), HasSubstr("0 or more"));
  EXPECT_THAT(message([&] { file.string_value("x.bool"); }), HasSubstr("is a boolean"));
  EXPECT_THAT(message([&] { file.array_value("nothing"); }), HasSubstr("no metadata \"nothing\""));
}

TEST(GgufFile, TensorsKeepRowMajorShapes) {
  LCOMP_REQUIRE(golden("formats/metadata.gguf"));
  const GgufFile file(golden("formats/metadata.gguf"));
  EXPECT_THAT(file.info("one").shape, ::testing::ElementsAre(5));
  EXPECT_THAT(file.info("three").shape, ::testing::ElementsAre(2, 3, 4));  // stored as 4, 3, 2
  EXPECT_EQ(file.info("three").stored_as, "F32");
  EXPECT_EQ(file.info("three").stored_bytes, 96u);
  const Matrix three = file.read("three");
  EXPECT_EQ(three.rows(), 2u);
  EXPECT_EQ(three.cols(), 12u);
  EXPECT_THROW(file.read("ints"), Error);
  EXPECT_THROW(file.read("nothing"), Error);
  std::vector<float> out(5);
  EXPECT_THROW(file.read_rows("one", 1, 5, out), Error);
}

TEST(GgufFile, RowsCanBeReadInAnyPieces) {
  LCOMP_REQUIRE(golden("formats/tensor-Q4_K.gguf"));
  const GgufFile file(golden("formats/tensor-Q4_K.gguf"));
  const Matrix whole = file.read("blk.0.weight");
  Matrix part(3, whole.cols());
  file.read_rows("blk.0.weight", 61, 3, part.span());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(part.row(i), ::testing::ElementsAreArray(whole.row(61 + i)));
  }
}

TEST(GgufFile, MalformedFilesAreRefusedInOneLine) {
  LCOMP_REQUIRE(golden("formats/malformed/defects.json"));
  // A part of each message that shows that this defect was found and no other.
  const std::map<std::string, std::string> expected = {
      {"empty-file", "an empty file"},
      {"wrong-magic", "does not begin with"},
      {"version-unknown", "version 99"},
      {"version-big-endian", "byte-swapped"},
      {"truncated-header", "inside the"},
      {"truncated-metadata", "the key of metadata entry 0"},
      {"truncated-tensor-info", "the file ends"},
      {"truncated-data", "needs 256 bytes"},
      {"tensor-count-huge", "tensor count of 1152921504606846976"},
      {"kv-count-huge", "metadata count of 1152921504606846976"},
      {"key-length-beyond-file", "the key of metadata entry"},
      {"string-length-beyond-file", "left in the file"},
      {"string-length-overflow", "left in the file"},
      {"array-length-huge", "an array of 4611686018427387904 items"},
      {"array-string-count-huge", "an array of 1000000000000 items"},
      {"array-nesting-deep", "nested deeper"},
      {"value-type-unknown", "value type 77"},
      {"duplicate-key", "two metadata entries"},
      {"duplicate-tensor-name", "two tensors"},
      {"dims-too-many", "9 dimensions"},
      {"dims-count-huge", "2147483648 dimensions"},
      {"dims-overflow", "overflows"},
      {"dims-negative", "dimension of -4"},
      {"bytes-overflow", "overflows"},
      {"tensor-type-unknown", "12345"},
      {"row-not-multiple-of-block", "rows of 33 values"},
      {"offset-beyond-file", "at offset"},
      {"offset-overflow", "at offset"},
      {"offset-unaligned", "multiple of the alignment"},
      {"offsets-overlap", "overlap"},
      {"alignment-zero", "general.alignment is 0"},
      {"alignment-not-power-of-two", "general.alignment is 24"},
      {"alignment-wrong-type", "general.alignment is of another type"},
  };
  std::size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden("formats/malformed"))) {
    if (entry.path().extension() != ".gguf" || entry.path().stem() == "valid") continue;
    const std::string message = gguf_error(entry.path());
    EXPECT_THAT(message, HasSubstr(entry.path().filename().string()));
    EXPECT_THAT(message, ::testing::Not(HasSubstr("\n")));
    const auto part = expected.find(entry.path().stem().string());
    ASSERT_NE(part, expected.end()) << entry.path();
    EXPECT_THAT(message, HasSubstr(part->second));
    ++seen;
  }
  EXPECT_EQ(seen, expected.size());
  EXPECT_EQ(gguf_error(golden("formats/malformed/valid.gguf")), "");
  EXPECT_THAT(gguf_error("/nowhere/x.gguf"), HasSubstr("/nowhere/x.gguf"));
}

// Bytes of a damaged file either open, and then every tensor can be read, or throw Error; anything else is a failure of
// this test.
void open_and_read(const std::filesystem::path& path) {
  try {
    const GgufFile file(path);
    for (const TensorInfo& tensor : file.tensors()) {
      try {
        file.read(tensor.name);
      } catch (const Error&) {
      }
    }
  } catch (const Error&) {
  }
}

RC_GTEST_PROP(GgufFile, RandomCorruptionNeverCrashes, ()) {
  const std::string name = *rc::gen::element<std::string>("malformed/valid.gguf", "metadata.gguf", "tensor-Q4_0.gguf");
  if (!std::filesystem::exists(golden("formats/" + name))) return;
  std::string bytes = read_text_file(golden("formats/" + name));
  const auto changes = *rc::gen::inRange(1, 6);
  for (int i = 0; i < changes; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, std::min<std::size_t>(bytes.size(), 600));
    bytes[at] = *rc::gen::arbitrary<char>();
  }
  if (*rc::gen::inRange(0, 4) == 0) bytes.resize(*rc::gen::inRange<std::size_t>(0, bytes.size()));
  const TemporaryFolder folder;
  std::ofstream(folder / "x.gguf", std::ios::binary) << bytes;
  open_and_read(folder / "x.gguf");
}

}  // namespace
}  // namespace lcomp
