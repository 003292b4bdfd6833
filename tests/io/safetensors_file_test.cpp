#include "lcomp/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "support/error_message.h"
#include "support/reference_data.h"
#include "tensor_values.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::golden;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TemporaryFolder;

// What opening the file says; empty when it opens.
std::string file_error(const std::filesystem::path& path) {
  try {
    const SafetensorsFile file(path);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(SafetensorsFile, MalformedFilesAreRefusedInOneLine) {
  LCOMP_REQUIRE(golden("formats/malformed"));
  // What the line must say besides the file's name: the tensor where one is to blame ("w" or "a"/"b" in these files),
  // and the fault.
  const std::map<std::string, std::vector<std::string>> expected = {
      {"empty-file", {"0 bytes"}},
      {"short-length-field", {"4 bytes"}},
      {"header-length-beyond-file", {"header of"}},
      {"header-length-overflow", {"header of 18446744073709551"}},
      {"header-length-zero", {"empty header"}},
      {"truncated-header", {"header of"}},
      {"invalid-json", {"line 1, column"}},
      {"unterminated-string", {"line 1, column"}},
      {"json-array-header", {"does not begin with '{'"}},
      {"json-deep-nesting", {"nesting deeper than 100"}},
      {"json-trailing-garbage", {"line 1, column"}},
      {"invalid-utf8", {"UTF-8"}},
      {"offset-out-of-range", {"tensor \"", "ends at byte"}},
      {"offset-reversed", {"tensor \"", "data_offsets"}},
      {"offset-negative", {"tensor \"", "data_offsets"}},
      {"offset-huge", {"tensor \"", "data_offsets"}},
      {"offsets-overlap", {"tensor \"", "share bytes"}},
      {"offsets-hole", {"tensor \"", "belong to none"}},
      {"trailing-bytes", {"where the last tensor ends"}},
      {"truncated-data", {"tensor \"", "fetch it again"}},
      {"size-mismatch", {"tensor \"", "16 bytes", "20 bytes"}},
      {"dtype-mismatch", {"tensor \"", "16 bytes", "8 bytes"}},
      {"unknown-dtype", {"tensor \"", "dtype", "BF16"}},
      {"negative-dim", {"tensor \"", "-"}},
      {"dims-overflow", {"tensor \"", "overflows"}},
      {"bytes-overflow", {"tensor \"", "overflows"}},
      {"fractional-dim", {"tensor \"", "an integer"}},
      {"missing-dtype", {"tensor \"", "no \"dtype\""}},
      {"missing-offsets", {"tensor \"", "no \"data_offsets\""}},
      {"three-offsets", {"tensor \"", "two integers"}},
      {"duplicate-name", {"second time"}},
  };
  std::size_t seen = 0;
  for (const auto& item : std::filesystem::directory_iterator(golden("formats/malformed"))) {
    if (item.path().extension() != ".safetensors" || item.path().stem() == "valid") continue;
    SCOPED_TRACE(item.path().filename().string());
    const std::string text = file_error(item.path());
    EXPECT_THAT(text, AllOf(HasSubstr(item.path().filename().string()), Not(HasSubstr("\n"))));
    ASSERT_TRUE(expected.contains(item.path().stem().string()));
    for (const std::string& part : expected.at(item.path().stem().string())) EXPECT_THAT(text, HasSubstr(part));
    EXPECT_LT(text.size(), 500u);
    ++seen;
  }
  EXPECT_EQ(seen, expected.size());
}

TEST(SafetensorsFile, ValidFileOpens) {
  LCOMP_REQUIRE(golden("formats/malformed/valid.safetensors"));
  EXPECT_EQ(file_error(golden("formats/malformed/valid.safetensors")), "");
}

// The values are PyTorch's, of .float(): exact, since every conversion is exact or rounded to nearest. The data begins
// at an address that is no multiple of 4 (8 + 1130 bytes), so this is a test of unaligned reading too.
TEST(SafetensorsFile, DecodesEveryType) {
  LCOMP_REQUIRE(golden("formats/all-dtypes.safetensors"));
  const SafetensorsFile file(golden("formats/all-dtypes.safetensors"));
  const std::map<std::string, std::vector<float>> expected = {
      {"t.F64", {0, 0, 0, 0, 0, 0}},
      {"t.I64", {0x1.25e406p+59f, 0x1.618562p+59f, 0x1.c44722p+59f, 0x1.02434p+60f, 0x1.5281f2p+60f, 0x1.40733p+60f}},
      {"t.U64", {0x1.5121cp+61f, 0x1.a1a1aap+61f, 0x1.b9a9a2p+61f, 0x1.c039cp+61f, 0x1.0a4686p+58f, 0x1.a959b2p+61f}},
      {"t.F32",
       {0x1.0e705cp-43f, 0x1.025a0ap-97f, 0x1.406654p-55f, 0x1.606662p-45f, 0x1.401416p-113f, 0x1.24183cp-95f}},
      {"t.I32", {0x1.918292p+28f, 0x1.652586p+27f, 0x1.282628p+24f, 0x1.903148p+29f, 0x1.89a812p+29f, 0x1.a5c506p+27f}},
      {"t.U32", {0x1.a1e364p+28f, 0x1.a188a8p+29f, 0x1.100922p+29f, 0x1.9060a2p+29f, 0x1.668486p+27f, 0x1.312972p+29f}},
      {"t.F16", {0x1.81p-13f, 0x1.85cp-6f, 0x1.8b4p-11f, 0x1.49cp-7f, 0x1.00cp-8f, 0x1.06cp-14f}},
      {"t.BF16", {0x1.42p-83f, 0x1p-99f, 0x1.08p-43f, 0x1.54p-115f, 0x1.18p-13f, 0x1.54p-77f}},
      {"t.I16", {0x1.b03p+13f, 0x1.c06p+12f, 0x1.a34p+11f, 0x1.196p+13f, 0x1.2878p+13f, 0x1.216p+13f}},
      {"t.U16", {0x1.d0fp+12f, 0x1.78ap+13f, 0x1.6938p+13f, 0x1.d18p+13f, 0x1.37p+8f, 0x1.d0ap+12f}},
      {"t.I8", {0x1.58p+5f, 0x1.98p+5f, 0x1p+3f, 0x1.08p+5f, 0x1.8p+1f, 0x1.ep+3f}},
      {"t.U8", {0x1.28p+5f, 0x1.4p+3f, 0x1.ap+3f, 0x1.98p+5f, 0x1.4p+5f, 0x1.bp+4f}},
      {"t.BOOL", {0x1p+0f, 0, 0x1p+0f, 0x1p+0f, 0, 0}},
      {"t.F8_E4M3", {0x1.ap-1f, 0, 0x1.ep-5f, 0x1.8p-6f, 0x1.8p-2f, 0x1.6p+0f}},
      {"t.F8_E5M2", {0x1.4p-14f, 0x1.8p-1f, 0x1.cp-3f, 0x1p-4f, 0, 0x1p-3f}},
      {"scalar", {0x1.8p+0f}},
      {"empty", {}},
  };
  EXPECT_EQ(file.entries().size(), expected.size());
  for (const auto& [name, values] : expected) {
    SCOPED_TRACE(name);
    EXPECT_EQ(testing::floats_of(file, name), values);
  }
  EXPECT_THAT(file.entry("t.F64").shape, ElementsAre(2, 3));
  EXPECT_THAT(file.entry("scalar").shape, ElementsAre());
  EXPECT_THAT(file.entry("empty").shape, ElementsAre(0, 3));
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"note", "caf\u00e9"}}));
}

void write_file(const std::filesystem::path& path, const std::string& header, const std::string& data) {
  std::ofstream out(path, std::ios::binary);
  const std::uint64_t length = header.size();
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out << header << data;
}

std::string all_bytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  return bytes;
}

// value = (-1)^sign * 2^(exponent - bias) * (1 + mantissa / 2^bits), without the 1 and with 2^(1 - bias) when exponent
// = 0.
float small_float(unsigned code, int mantissa_bits, int bias) {
  const int exponent = static_cast<int>((code & 0x7fu) >> mantissa_bits);
  const int mantissa = static_cast<int>(code & ((1u << mantissa_bits) - 1));
  const int whole = exponent == 0 ? mantissa : mantissa + (1 << mantissa_bits);
  const float magnitude = std::ldexp(static_cast<float>(whole), std::max(exponent, 1) - bias - mantissa_bits);
  return (code & 0x80u) != 0 ? -magnitude : magnitude;
}

TEST(SafetensorsFile, DecodesAllEightBitFloats) {
  const TemporaryFolder folder;
  write_file(folder / "f8.safetensors",
             R"({"e4m3":{"dtype":"F8_E4M3","shape":[256],"data_offsets":[0,256]},)"
             R"("e5m2":{"dtype":"F8_E5M2","shape":[256],"data_offsets":[256,512]}})",
             all_bytes() + all_bytes());
  const SafetensorsFile file(folder / "f8.safetensors");
  const std::vector<float> e4m3 = testing::floats_of(file, "e4m3");
  const std::vector<float> e5m2 = testing::floats_of(file, "e5m2");
  for (unsigned code = 0; code < 256; ++code) {
    SCOPED_TRACE(code);
    if ((code & 0x7fu) == 0x7fu) {
      EXPECT_TRUE(std::isnan(e4m3[code]));
    } else {
      EXPECT_EQ(e4m3[code], small_float(code, 3, 7));
    }
    if ((code & 0x7fu) > 0x7cu) {
      EXPECT_TRUE(std::isnan(e5m2[code]));
    } else if ((code & 0x7fu) == 0x7cu) {
      EXPECT_EQ(e5m2[code], code < 128 ? INFINITY : -INFINITY);
    } else {
      EXPECT_EQ(e5m2[code], small_float(code, 2, 15));
    }
  }
}

TEST(SafetensorsFile, DecodesNegativeAndLargeIntegers) {
  const TemporaryFolder folder;
  const std::string ones(8, '\xff');
  write_file(
      folder / "i.safetensors",
      R"({"i64":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"u64":{"dtype":"U64","shape":[],"data_offsets":[8,16]},)"
      R"("i32":{"dtype":"I32","shape":[1],"data_offsets":[16,20]},"u32":{"dtype":"U32","shape":[1],"data_offsets":[20,24]},)"
      R"("i16":{"dtype":"I16","shape":[1],"data_offsets":[24,26]},"u16":{"dtype":"U16","shape":[1],"data_offsets":[26,28]},)"
      R"("i8":{"dtype":"I8","shape":[1],"data_offsets":[28,29]},"u8":{"dtype":"U8","shape":[1],"data_offsets":[29,30]}})",
      ones + ones + ones + ones.substr(0, 6));
  const SafetensorsFile file(folder / "i.safetensors");
  for (const char* name : {"i64", "i32", "i16", "i8"})
    EXPECT_EQ(testing::floats_of(file, name), std::vector<float>{-1}) << name;
  EXPECT_EQ(testing::floats_of(file, "u64"), std::vector<float>{0x1p64f});
  EXPECT_EQ(testing::floats_of(file, "u32"), std::vector<float>{0x1p32f});
  EXPECT_EQ(testing::floats_of(file, "u16"), std::vector<float>{65535});
  EXPECT_EQ(testing::floats_of(file, "u8"), std::vector<float>{255});
}

TEST(SafetensorsFile, DecodesPartsAndRefusesMore) {
  const TemporaryFolder folder;
  write_file(folder / "a.safetensors", R"({"a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}})",
             std::string("\1\2\3\4"));
  const SafetensorsFile file(folder / "a.safetensors");
  std::vector<float> two(2);
  to_float(file.entry("a"), 1, two);
  EXPECT_THAT(two, ElementsAre(2, 3));
  EXPECT_THROW(to_float(file.entry("a"), 3, two), Error);
  EXPECT_THROW(to_float(file.entry("a"), static_cast<std::size_t>(-1), two), Error);
  to_float(file.entry("a"), 4, {});
}

TEST(SafetensorsFile, FindsByNameAndNamesWhatIsAbsent) {
  const TemporaryFolder folder;
  write_file(
      folder / "a.safetensors",
      R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}   )",
      "xy");
  const SafetensorsFile file(folder / "a.safetensors");
  EXPECT_EQ(file.entries()[0].name, "a");
  EXPECT_EQ(file.entries()[1].name, "b");
  EXPECT_EQ(file.find("b"), &file.entries()[1]);
  EXPECT_EQ(file.find("c"), nullptr);
  EXPECT_THAT(testing::message([&] { file.entry("c"); }),
              AllOf(HasSubstr("a.safetensors"), HasSubstr("no tensor \"c\"")));
}

TEST(SafetensorsFile, RefusesDefectsThatTheReferenceFilesLack) {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  const std::string entry = R"("dtype":"U8","shape":[1],"data_offsets":[0,1])";
  write_file(path, R"({"a":{)" + entry + R"(,"strides":[1]}})", "x");
  EXPECT_THAT(file_error(path), HasSubstr("the field \"strides\""));
  write_file(path, R"({"a":{)" + entry + R"(},"__metadata__":{"n":1}})", "x");
  EXPECT_THAT(file_error(path), HasSubstr("__metadata__: \"n\": 1; expected a string"));
  write_file(path, R"({"a":{)" + entry + R"(},"__metadata__":3})", "x");
  EXPECT_THAT(file_error(path), HasSubstr("expected an object"));
  write_file(path, R"({"a":3})", "");
  EXPECT_THAT(file_error(path), HasSubstr("a description of type number"));
  write_file(path, R"({"a":{"dtype":"U8","shape":[true],"data_offsets":[0,1]}})", "x");
  EXPECT_THAT(file_error(path), HasSubstr("the size true"));
  write_file(path, R"({"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", "x");
  EXPECT_THAT(file_error(path), HasSubstr("dtype 8"));
  write_file(path, "{}", "");
  EXPECT_EQ(file_error(path), "");
  EXPECT_THAT(file_error(folder / "absent.safetensors"),
              AllOf(HasSubstr("absent.safetensors"), HasSubstr("No such file")));
  EXPECT_THAT(file_error(folder.path()), HasSubstr("is a folder"));
}

}  // namespace
}  // namespace lcomp
