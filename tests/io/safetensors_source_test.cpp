#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/safetensors.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::golden;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

constexpr const char* kIndex = "model.safetensors.index.json";

// One tensor of one byte for each name.
void write_shard(const std::filesystem::path& path, const std::vector<std::string>& names) {
  std::vector<SafetensorsDeclaration> tensors;
  for (const auto& name : names) tensors.push_back({name, DataType::u8, {1}});
  SafetensorsWriter writer(path, tensors);
  for (const auto& name : names) writer.write(name, std::as_bytes(std::span(name).first(1)));
  writer.finish();
}

std::string source_error(const std::filesystem::path& path) {
  try {
    open_safetensors(path);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
}

class Shards : public ::testing::Test {
 protected:
  Shards() {
    write_shard(folder_ / "1.safetensors", {"a", "c"});
    write_shard(folder_ / "2.safetensors", {"b"});
  }
  std::string error_with_index(const std::string& weight_map) {
    write_text_file(folder_ / kIndex, R"({"metadata": {"total_size": 3}, "weight_map": )" + weight_map + "}");
    return source_error(folder_.path());
  }
  const TemporaryFolder folder_;
};

constexpr const char* kGoodMap = R"({"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"})";

TEST_F(Shards, AreOneSource) {
  EXPECT_EQ(error_with_index(kGoodMap), "");
  for (const auto& path : {folder_.path(), folder_ / kIndex}) {
    const auto source = open_safetensors(path);
    EXPECT_EQ(source->where(), path.string());
    ASSERT_EQ(source->tensors().size(), 3u);
    EXPECT_EQ(source->tensors()[1].name, "b");
    EXPECT_EQ(source->tensors()[1].stored_as, "U8");
    EXPECT_EQ(source->tensors()[1].stored_bytes, 1u);
    for (const char* name : {"a", "b", "c"}) EXPECT_EQ(source->read(name)(0, 0), static_cast<float>(name[0]));
  }
}

TEST_F(Shards, MissingShard) {
  std::filesystem::remove(folder_ / "1.safetensors");
  EXPECT_THAT(error_with_index(kGoodMap),
              AllOf(HasSubstr(kIndex), HasSubstr("\"1.safetensors\" is missing, which holds 2 of 3 tensors"),
                    HasSubstr("fetch")));
}

TEST_F(Shards, TensorThatItsShardLacks) {
  EXPECT_THAT(
      error_with_index(R"({"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors", "d": "2.safetensors"})"),
      AllOf(HasSubstr(kIndex), HasSubstr("tensor \"d\" is not in \"2.safetensors\""), HasSubstr("fetch it again")));
}

TEST_F(Shards, TensorElsewhere) {
  EXPECT_THAT(error_with_index(R"({"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"})"),
              AllOf(HasSubstr("tensor \"c\" is in \"1.safetensors\""), HasSubstr("expected it in \"2.safetensors\"")));
}

TEST_F(Shards, TensorInTwoShards) {
  write_shard(folder_ / "2.safetensors", {"a", "b"});
  EXPECT_THAT(
      error_with_index(kGoodMap),
      AllOf(HasSubstr("tensor \"a\" is both in \"1.safetensors\" and in \"2.safetensors\""), HasSubstr("fetch")));
}

TEST_F(Shards, TensorThatTheIndexLacks) {
  EXPECT_THAT(error_with_index(R"({"a": "1.safetensors", "b": "2.safetensors"})"),
              HasSubstr("tensor \"c\" of \"1.safetensors\" is not in the index"));
}

TEST_F(Shards, TruncatedShard) {
  std::filesystem::resize_file(folder_ / "1.safetensors", std::filesystem::file_size(folder_ / "1.safetensors") - 1);
  EXPECT_THAT(error_with_index(kGoodMap), AllOf(HasSubstr("1.safetensors: tensor \"c\""), HasSubstr("fetch it again")));
}

TEST_F(Shards, NamesStayInTheFolder) {
  for (const char* name :
       {"../1.safetensors", "/etc/passwd", "x/1.safetensors", "..", ".", "", "..\\\\1.safetensors", "a\\u0000b"}) {
    EXPECT_THAT(error_with_index(std::string(R"({"a": ")") + name + "\"}"),
                AllOf(HasSubstr("weight_map.a"), HasSubstr("a file in the index's folder")))
        << name;
  }
}

TEST_F(Shards, MalformedIndex) {
  EXPECT_THAT(error_with_index("{}"), HasSubstr("an empty \"weight_map\""));
  EXPECT_THAT(error_with_index("[]"), HasSubstr("no \"weight_map\""));
  EXPECT_THAT(error_with_index(R"({"a": 1})"), HasSubstr("weight_map.a: 1; expected a file name"));
  EXPECT_THAT(error_with_index(R"({"a": "1.safetensors", "a": "2.safetensors"})"), HasSubstr("second time"));
  write_text_file(folder_ / kIndex, "[1]");
  EXPECT_THAT(source_error(folder_.path()), HasSubstr("no \"weight_map\""));
}

TEST_F(Shards, ASingleFileGoesBeforeAnIndex) {
  write_shard(folder_ / "model.safetensors", {"z"});
  EXPECT_EQ(error_with_index("[]"), "");
  EXPECT_EQ(open_safetensors(folder_.path())->tensors()[0].name, "z");
}

TEST(SafetensorsSource, FolderWithoutAModel) {
  const TemporaryFolder folder;
  EXPECT_THAT(source_error(folder.path()), AllOf(HasSubstr("model.safetensors"), HasSubstr(folder.path().string())));
  EXPECT_THAT(source_error(folder / "absent"), HasSubstr("No such file"));
}

TEST(SafetensorsSource, ReadsRows) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "m.safetensors", {{"w", DataType::f16, {3, 2}},
                                                      {"v", DataType::bf16, {2}},
                                                      {"s", DataType::f32, {}},
                                                      {"i", DataType::i32, {1}},
                                                      {"e", DataType::f32, {0, 5}}});
  writer.write_float("w", std::vector<float>{1, 2, 3, 4, 5, 6});
  writer.write_float("v", std::vector<float>{7, 8});
  writer.write_float("s", std::vector<float>{9});
  writer.write("i", std::as_bytes(std::span("abcd", 4)));
  writer.finish();
  const auto source = open_safetensors(folder / "m.safetensors");
  std::vector<float> two(4);
  source->read_rows("w", 1, 2, two);
  EXPECT_THAT(two, ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(source->read("v").rows(), 2u);  // [2, 1]
  EXPECT_EQ(source->read("v")(1, 0), 8);
  EXPECT_EQ(source->read("s")(0, 0), 9);
  EXPECT_EQ(source->read("e").size(), 0u);
  source->read_rows("w", 3, 0, {});

  EXPECT_THROW(source->read_rows("w", 2, 2, two), Error);
  EXPECT_THROW(source->read_rows("w", static_cast<std::size_t>(-1), 2, two), Error);
  EXPECT_THROW(source->read_rows("w", 0, 1, two), Error);  // room for more than a row
  EXPECT_THROW(source->read("absent"), Error);
  EXPECT_THAT(testing::message([&] { source->read("i"); }), HasSubstr("m.safetensors: tensor \"i\": stored as I32"));
}

// Large enough for several threads and for the pages to be released after the read: a second read must give the same.
TEST(SafetensorsSource, ReadsLargeTensorsTwice) {
  const TemporaryFolder folder;
  constexpr std::size_t kRows = 1000;
  constexpr std::size_t kCols = 1111;
  std::vector<float> values(kRows * kCols);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 2039);  // exact in float16
  SafetensorsWriter writer(folder / "m.safetensors",
                           {{"odd", DataType::u8, {1}}, {"w", DataType::f16, {kRows, kCols}}});
  writer.write("odd", std::as_bytes(std::span("x", 1)));
  writer.write_float("w", values);  // at an odd address
  writer.finish();
  const auto source = open_safetensors(folder / "m.safetensors");
  for (int pass = 0; pass < 2; ++pass) {
    const Matrix matrix = source->read("w");
    EXPECT_TRUE(std::equal(values.begin(), values.end(), matrix.span().begin()));
  }
}

TEST(SafetensorsSource, ReadsAShardedCheckpoint) {
  LCOMP_REQUIRE(golden("families/llama3"));
  const auto source = open_safetensors(golden("families/llama3"));
  std::size_t tensors = 0;
  for (const auto& item : std::filesystem::directory_iterator(golden("families/llama3"))) {
    if (!item.path().filename().string().starts_with("model-")) continue;
    const SafetensorsFile shard(item.path());
    for (const SafetensorsEntry& entry : shard.entries()) {
      std::vector<float> values(entry.bytes.size() / bytes_per_element(entry.type));
      to_float(entry, 0, values);
      const Matrix matrix = source->read(entry.name);
      EXPECT_TRUE(std::equal(values.begin(), values.end(), matrix.span().begin(), matrix.span().end())) << entry.name;
      ++tensors;
    }
  }
  EXPECT_EQ(source->tensors().size(), tensors);
  EXPECT_GT(tensors, 10u);
}

}  // namespace
}  // namespace lcomp
