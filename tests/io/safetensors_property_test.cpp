// Properties over random files: what is written is read again, and no damage crashes the reader.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/safetensors.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::TemporaryFolder;

struct RandomTensor {
  SafetensorsDeclaration declaration;
  std::vector<std::byte> bytes;
};

// Names and texts: any characters JSON must escape, and some outside ASCII.
std::string random_text() {
  const auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(std::vector<std::string>{
      "a", "layers", ".", "0", "\"", "\\", "\n", "\x01", " ", "/", "\u00e9", "\u4e2d", "\U0001f600", "{", ","}));
  std::string text;
  for (const auto& piece : pieces) text += piece;
  return text;
}

std::vector<RandomTensor> random_tensors() {
  std::vector<RandomTensor> tensors;
  std::set<std::string> names;
  const int count = *rc::gen::inRange(0, 6);
  for (int i = 0; i < count; ++i) {
    RandomTensor tensor;
    tensor.declaration.name = random_text();
    if (!names.insert(tensor.declaration.name).second) continue;
    tensor.declaration.type = static_cast<DataType>(*rc::gen::inRange(0, static_cast<int>(DataType::boolean) + 1));
    std::size_t size = bytes_per_element(tensor.declaration.type);
    for (int d = *rc::gen::inRange(0, 4); d > 0; --d) {
      tensor.declaration.shape.push_back(*rc::gen::inRange<std::size_t>(0, 6));
      size *= tensor.declaration.shape.back();
    }
    for (const auto byte : *rc::gen::container<std::vector<std::uint8_t>>(size, rc::gen::arbitrary<std::uint8_t>())) {
      tensor.bytes.push_back(static_cast<std::byte>(byte));
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

void write_in_pieces(const std::filesystem::path& path, const std::vector<RandomTensor>& tensors,
                     const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsDeclaration> declarations;
  for (const auto& tensor : tensors) declarations.push_back(tensor.declaration);
  SafetensorsWriter writer(path, declarations, metadata);
  for (const auto& tensor : tensors) {
    for (std::span<const std::byte> rest = tensor.bytes; !rest.empty();) {
      const std::size_t piece = *rc::gen::inRange<std::size_t>(1, rest.size() + 1);
      writer.write(tensor.declaration.name, rest.first(piece));
      rest = rest.subspan(piece);
    }
  }
  writer.finish();
}

RC_GTEST_PROP(SafetensorsProperty, WhatIsWrittenIsRead, ()) {
  const TemporaryFolder folder;
  const auto tensors = random_tensors();
  std::map<std::string, std::string> metadata;
  for (int i = *rc::gen::inRange(0, 3); i > 0; --i) metadata[random_text()] = random_text();
  write_in_pieces(folder / "x.safetensors", tensors, metadata);

  const SafetensorsFile file(folder / "x.safetensors");
  RC_ASSERT(file.entries().size() == tensors.size());
  RC_ASSERT(file.metadata() == metadata);
  for (const auto& tensor : tensors) {
    const SafetensorsEntry& entry = file.entry(tensor.declaration.name);
    RC_ASSERT(entry.type == tensor.declaration.type);
    RC_ASSERT(entry.shape == tensor.declaration.shape);
    RC_ASSERT(std::equal(entry.bytes.begin(), entry.bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
  }
  const std::string text = read_text_file(folder / "x.safetensors");
  std::size_t data = 0;
  for (const auto& tensor : tensors) data += tensor.bytes.size();
  RC_ASSERT((text.size() - data) % 64 == 0u);
}

RC_GTEST_PROP(SafetensorsProperty, FloatsSurviveFloat32, (const std::vector<float>& values)) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "x.safetensors", {{"w", DataType::f32, {values.size()}}});
  writer.write_float("w", values);
  writer.finish();
  const SafetensorsFile file(folder / "x.safetensors");
  std::vector<float> read(values.size());
  to_float(file.entry("w"), 0, read);
  RC_ASSERT(read == values);
}

// Opens, or throws Error; what opens can be decoded.
bool opens(const std::filesystem::path& path) {
  try {
    const SafetensorsFile file(path);
    for (const SafetensorsEntry& entry : file.entries()) {
      std::vector<float> values(entry.bytes.size() / bytes_per_element(entry.type));
      to_float(entry, 0, values);
    }
    return true;
  } catch (const Error& error) {
    RC_ASSERT(std::string(error.what()).find('\n') == std::string::npos);
    return false;
  }
}

RC_GTEST_PROP(SafetensorsProperty, DamageNeverCrashesTheReader, ()) {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  write_in_pieces(path, random_tensors(), {{"k", "v"}});
  const std::string intact = read_text_file(path);
  std::uint64_t header = 0;
  std::copy_n(intact.data(), sizeof header, reinterpret_cast<char*>(&header));
  for (int attempt = 0; attempt < 10; ++attempt) {
    std::string text = intact;
    for (int i = *rc::gen::inRange(1, 4); i > 0; --i) {
      const auto at = *rc::gen::inRange<std::size_t>(0, 8 + static_cast<std::size_t>(header));
      text[at] = *rc::gen::oneOf(rc::gen::arbitrary<char>(), rc::gen::elementOf(std::string("0123456789[]{},:\"-")));
    }
    write_text_file(path, text);
    opens(path);
  }
}

TEST(SafetensorsTruncation, EveryShorterFileIsRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  SafetensorsWriter writer(path, {{"w", DataType::f32, {3}}, {"v", DataType::u8, {1}}});
  writer.write_float("w", std::vector<float>{1, 2, 3});
  writer.write("v", std::as_bytes(std::span("x", 1)));
  writer.finish();
  const std::string text = read_text_file(path);
  EXPECT_TRUE(opens(path));
  for (std::size_t size = 0; size < text.size(); ++size) {
    write_text_file(folder / "y.safetensors", text.substr(0, size));
    EXPECT_FALSE(opens(folder / "y.safetensors")) << size;
  }
}

}  // namespace
}  // namespace lcomp
