#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "file_size_limit.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/safetensors.h"
#include "support/error_message.h"
#include "support/reference_data.h"
#include "tensor_values.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FileSizeLimit;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TemporaryFolder;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(SafetensorsWriter, WritesTheFormatToTheByte) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "a.safetensors", {{"w", DataType::i8, {2, 1}}, {"s", DataType::f32, {}}},
                           {{"by", "x\"y"}});
  writer.write("w", std::as_bytes(std::span("\1\2", 2)));
  writer.write_float("s", std::vector<float>{1.0f});
  writer.finish();
  const std::string header = R"({"__metadata__":{"by":"x\"y"},"w":{"dtype":"I8","shape":[2,1],"data_offsets":[0,2]},)"
                             R"("s":{"dtype":"F32","shape":[],"data_offsets":[2,6]}})";
  const std::string text = read_text_file(folder / "a.safetensors");
  ASSERT_EQ(text.size(), 192u + 6u);  // 8 + header, padded with spaces to a multiple of 64
  EXPECT_EQ(text.substr(0, 8), std::string("\xb8\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(text.substr(8, header.size()), header);
  EXPECT_EQ(text.substr(8 + header.size(), 192 - 8 - header.size()), std::string(192 - 8 - header.size(), ' '));
  EXPECT_EQ(text.substr(192), std::string("\1\2\0\0\x80\x3f", 6));
}

TEST(SafetensorsWriter, ConvertsFloats) {
  const TemporaryFolder folder;
  const std::vector<float> values = {0, -0.0f, 1, -1.5f, 65504, 65519, 0x1p-24f, 0x1p-26f, 0.1f, kInfinity, -kInfinity};
  const std::vector<std::size_t> shape = {values.size()};
  SafetensorsWriter writer(
      folder / "a.safetensors",
      {{"f16", DataType::f16, shape}, {"bf16", DataType::bf16, shape}, {"f32", DataType::f32, shape}});
  writer.write_float("f16", std::span(values).first(3));
  writer.write_float("f16", std::span(values).subspan(3));
  writer.write_float("bf16", values);
  writer.write_float("f32", values);
  writer.finish();
  const SafetensorsFile file(folder / "a.safetensors");
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(testing::floats_of(file, "f16")[i], half_to_float(float_to_half(values[i])));
    EXPECT_EQ(testing::floats_of(file, "bf16")[i], bfloat16_to_float(float_to_bfloat16(values[i])));
    EXPECT_EQ(testing::floats_of(file, "f32")[i], values[i]);
  }
}

TEST(SafetensorsWriter, NanPasses) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "a.safetensors", {{"w", DataType::f16, {1}}});
  writer.write_float("w", std::vector<float>{std::nanf("")});
  writer.finish();
  EXPECT_TRUE(std::isnan(testing::floats_of(SafetensorsFile(folder / "a.safetensors"), "w")[0]));
}

TEST(SafetensorsWriter, OverflowNamesTensorAndElement) {
  const TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder / "a.safetensors", {{"w", DataType::f16, {600'000}}});
    std::vector<float> values(300'000, 65519.0f);
    writer.write_float("w", values);
    values[299'999] = -65520.0f;  // half way between the largest half and 2^16
    EXPECT_THAT(
        testing::message([&] { writer.write_float("w", values); }),
        AllOf(HasSubstr("a.safetensors: tensor \"w\""), HasSubstr("value -65520 of element 599999"), HasSubstr("F16")));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "a.safetensors"));
  SafetensorsWriter writer(folder / "b.safetensors", {{"w", DataType::bf16, {2}}});
  const float largest = std::numeric_limits<float>::max();
  EXPECT_THAT(testing::message([&] {
                writer.write_float("w", std::vector<float>{65520, largest});
              }),
              HasSubstr("element 1"));
}

TEST(SafetensorsWriter, EmptyTensorsNeedNoWrite) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(
      folder / "a.safetensors",
      {{"none", DataType::f32, {0}}, {"w", DataType::u8, {1}}, {"nothing", DataType::f16, {3, 0}}});
  writer.write("w", std::as_bytes(std::span("x", 1)));
  writer.write_float("nothing", {});
  writer.write("none", {});
  writer.finish();
  const SafetensorsFile file(folder / "a.safetensors");
  EXPECT_THAT(file.entry("nothing").shape, ElementsAre(3, 0));
  EXPECT_TRUE(file.entry("none").bytes.empty());
}

TEST(SafetensorsWriter, AFileWithoutTensorsIsValid) {
  const TemporaryFolder folder;
  SafetensorsWriter(folder / "a.safetensors", {}).finish();
  EXPECT_TRUE(SafetensorsFile(folder / "a.safetensors").entries().empty());
}

TEST(SafetensorsWriter, HoldsTheCallerToTheDeclaration) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  SafetensorsWriter writer(path, {{"a", DataType::u8, {2}}, {"b", DataType::f32, {1}}});
  const auto bytes = std::as_bytes(std::span("xyz", 3));
  EXPECT_THAT(testing::message([&] { writer.write("b", bytes); }),
              AllOf(HasSubstr("tensor \"b\": written out of turn"), HasSubstr("\"a\"")));
  EXPECT_THAT(testing::message([&] { writer.write("a", bytes); }),
              HasSubstr("tensor \"a\": 3 bytes after 0 bytes of it; expected 2 in all"));
  EXPECT_THAT(testing::message([&] { writer.write_float("a", std::vector<float>{1}); }), HasSubstr("tensor of U8"));
  writer.write("a", bytes.first(2));
  EXPECT_THAT(testing::message([&] { writer.write("a", bytes.first(1)); }), HasSubstr("out of turn"));
  EXPECT_THAT(testing::message([&] {
                writer.write_float("b", std::vector<float>{1, 2});
              }),
              HasSubstr("8 bytes after 0"));
  writer.write("b", bytes);
  EXPECT_THAT(testing::message([&] { writer.finish(); }), HasSubstr("tensor \"b\": 3 bytes were written; expected 4"));
  EXPECT_FALSE(std::filesystem::exists(path));
  writer.write("b", bytes.first(1));
  EXPECT_THAT(testing::message([&] { writer.write("b", bytes.first(1)); }), HasSubstr("after the last tensor"));
  writer.finish();
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(SafetensorsWriter, RefusesDeclarationsThatNoFileCanHold) {
  const TemporaryFolder folder;
  const auto declare = [&](std::vector<SafetensorsDeclaration> tensors,
                           std::map<std::string, std::string> metadata = {}) {
    return testing::message([&] { SafetensorsWriter(folder / "a.safetensors", std::move(tensors), metadata); });
  };
  EXPECT_THAT(declare({{"w", DataType::u8, {1}}, {"w", DataType::u8, {1}}}), HasSubstr("tensor \"w\": declared twice"));
  EXPECT_THAT(declare({{"__metadata__", DataType::u8, {1}}}), HasSubstr("__metadata__"));
  EXPECT_THAT(declare({{"w", DataType::u16, {std::size_t{1} << 63}}}), HasSubstr("overflows"));
  EXPECT_THAT(declare({{"a", DataType::u8, {std::size_t{1} << 63}}, {"b", DataType::u8, {std::size_t{1} << 63}}}),
              HasSubstr("tensor \"b\""));
  EXPECT_THAT(declare({{"\xff", DataType::u8, {1}}}), HasSubstr("UTF-8"));
  EXPECT_THAT(declare({}, {{"k", "\xff"}}), HasSubstr("UTF-8"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(SafetensorsWriter, FullDiskSaysHowMuchWasToBeWritten) {
  const TemporaryFolder folder;
  const FileSizeLimit limit(100'000);
  try {
    SafetensorsWriter writer(folder / "a.safetensors", {{"w", DataType::f32, {250, 1000}}});
    for (int row = 0; row < 250; ++row) writer.write_float("w", std::vector<float>(1000, 1.0f));
    writer.finish();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::system);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("a.safetensors"), HasSubstr("room for 1000128 bytes"), Not(HasSubstr("\n"))));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(SafetensorsWriter, Moves) {
  const TemporaryFolder folder;
  SafetensorsWriter first(folder / "a.safetensors", {{"w", DataType::u8, {1}}});
  SafetensorsWriter second = std::move(first);
  second.write("w", std::as_bytes(std::span("x", 1)));
  second.finish();
  EXPECT_EQ(testing::floats_of(SafetensorsFile(folder / "a.safetensors"), "w"), std::vector<float>{'x'});
}

}  // namespace
}  // namespace lcomp
