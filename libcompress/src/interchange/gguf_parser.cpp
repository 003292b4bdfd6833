#include "interchange/gguf_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>
#include <string_view>

#include "interchange/ggml_type_table.h"
#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF data is read in place");

constexpr std::size_t kMaxDimensions = 4;
constexpr std::size_t kMaxArrayDepth = 8;
constexpr std::uint64_t kMaxArrayItems = std::uint64_t{1} << 24;
constexpr std::uint64_t kMaxKeyLength = 65535;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::string_view kAlignmentKey = "general.alignment";

enum class ValueType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

// Bytes that a value of this type takes at least.
std::uint64_t least_bytes(ValueType type) {
  constexpr std::array<std::uint64_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
  return kBytes.at(static_cast<std::size_t>(type));
}

class Parser {
 public:
  Parser(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  GgufContents parse() {
    read_magic_and_version();
    const std::uint64_t tensor_count = read_count("tensor", 8 + 4 + 4 + 8);
    const std::uint64_t metadata_count = read_count("metadata", 8 + 4 + 1);
    read_metadata(metadata_count);
    read_tensor_infos(tensor_count);
    place_tensors();
    return std::move(contents_);
  }

 private:
  [[noreturn]] void fail(std::string found, std::string expected = "", std::string advice = "") const {
    throw Error({where_, std::move(found), std::move(expected), std::move(advice)});
  }

  std::uint64_t remaining() const { return file_.size() - position_; }

  template <typename T>
  T read(std::string_view what) {
    if (remaining() < sizeof(T)) {
      fail(fmt::format("the file ends at byte {}, inside {}", file_.size(), what), "a complete GGUF file");
    }
    T value;
    std::memcpy(&value, file_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  void read_magic_and_version() {
    if (file_.size() < 4 || std::memcmp(file_.data(), "GGUF", 4) != 0) {
      fail(file_.empty() ? "an empty file" : "a file that does not begin with \"GGUF\"", "a GGUF file");
    }
    position_ = 4;
    const auto version = read<std::uint32_t>("the version");
    if (version != 0 && (version & 0xffffu) == 0) {
      fail("a byte-swapped version number", "a little-endian GGUF file", "convert the file to little-endian");
    }
    if (version != 2 && version != 3) {
      fail(fmt::format("GGUF version {}", version), "version 2 or 3");
    }
  }

  std::uint64_t read_count(std::string_view what, std::uint64_t least_bytes_each) {
    const auto count = read<std::uint64_t>(fmt::format("the {} count", what));
    if (count > remaining() / least_bytes_each) {
      fail(fmt::format("a {} count of {}, more than the {} bytes that follow can hold", what, count, remaining()));
    }
    return count;
  }

  std::string read_string(std::string_view what) {
    const auto length = read<std::uint64_t>(what);
    if (length > remaining()) {
      fail(fmt::format("{} of {} bytes, with {} left in the file", what, length, remaining()), "a complete GGUF file");
    }
    std::string text(reinterpret_cast<const char*>(file_.data() + position_), static_cast<std::size_t>(length));
    position_ += static_cast<std::size_t>(length);
    return text;
  }

  ValueType read_value_type(const std::string& key) {
    const auto number = read<std::uint32_t>(fmt::format("the type of metadata \"{}\"", key));
    if (number > static_cast<std::uint32_t>(ValueType::f64)) {
      fail(fmt::format("metadata \"{}\" has the value type {}", key, number), "a type from 0 to 12");
    }
    return static_cast<ValueType>(number);
  }

  GgufValue read_value(ValueType type, const std::string& key, std::size_t depth) {
    const auto what = fmt::format("metadata \"{}\"", key);
    switch (type) {
      case ValueType::u8:
        return {std::uint64_t{read<std::uint8_t>(what)}};
      case ValueType::i8:
        return {std::int64_t{read<std::int8_t>(what)}};
      case ValueType::u16:
        return {std::uint64_t{read<std::uint16_t>(what)}};
      case ValueType::i16:
        return {std::int64_t{read<std::int16_t>(what)}};
      case ValueType::u32:
        return {std::uint64_t{read<std::uint32_t>(what)}};
      case ValueType::i32:
        return {std::int64_t{read<std::int32_t>(what)}};
      case ValueType::u64:
        return {read<std::uint64_t>(what)};
      case ValueType::i64:
        return {read<std::int64_t>(what)};
      case ValueType::f32:
        return {double{read<float>(what)}};
      case ValueType::f64:
        return {read<double>(what)};
      case ValueType::boolean: {
        const auto byte = read<std::uint8_t>(what);
        if (byte > 1) fail(fmt::format("{} is a boolean with the value {}", what, byte), "0 or 1");
        return {byte == 1};
      }
      case ValueType::string:
        return {read_string(what)};
      case ValueType::array:
        return {read_array(key, depth + 1)};
    }
    fail(fmt::format("{} has an unknown type", what));
  }

  GgufArray read_array(const std::string& key, std::size_t depth) {
    if (depth > kMaxArrayDepth) {
      fail(fmt::format("metadata \"{}\" has arrays nested deeper than {}", key, kMaxArrayDepth));
    }
    const ValueType type = read_value_type(key);
    const auto count = read<std::uint64_t>(fmt::format("the length of metadata \"{}\"", key));
    if (count > remaining() / least_bytes(type)) {
      fail(fmt::format("metadata \"{}\" is an array of {} items, more than the {} bytes left in the file can hold", key,
                       count, remaining()));
    }
    if (count > kMaxArrayItems - array_items_) {
      fail(fmt::format("metadata \"{}\" is an array of {} items", key, count),
           fmt::format("at most {} array items in a file", kMaxArrayItems));
    }
    array_items_ += count;
    GgufArray items;
    items.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) items.push_back(read_value(type, key, depth));
    return items;
  }

  void read_metadata(std::uint64_t count) {
    std::set<std::string, std::less<>> keys;
    for (std::uint64_t i = 0; i < count; ++i) {
      std::string key = read_string(fmt::format("the key of metadata entry {}", i));
      if (key.size() > kMaxKeyLength) {
        fail(fmt::format("a metadata key of {} bytes", key.size()), fmt::format("at most {}", kMaxKeyLength));
      }
      if (!keys.insert(key).second) fail(fmt::format("two metadata entries \"{}\"", key), "one of each name");
      const ValueType type = read_value_type(key);
      GgufValue value = read_value(type, key, 0);
      if (key == kAlignmentKey) set_alignment(type, value);
      contents_.metadata.emplace_back(std::move(key), std::move(value));
    }
  }

  void set_alignment(ValueType type, const GgufValue& value) {
    if (type != ValueType::u32) fail("general.alignment is of another type", "an unsigned 32-bit integer");
    alignment_ = std::get<std::uint64_t>(value.value);
    if (!std::has_single_bit(alignment_)) fail(fmt::format("general.alignment is {}", alignment_), "a power of two");
  }

  void read_tensor_infos(std::uint64_t count) {
    std::set<std::string, std::less<>> names;
    for (std::uint64_t i = 0; i < count; ++i) {
      GgufTensor tensor;
      tensor.name = read_string(fmt::format("the name of tensor {}", i));
      const auto what = fmt::format("tensor \"{}\"", tensor.name);
      if (!names.insert(tensor.name).second) fail(fmt::format("two tensors \"{}\"", tensor.name), "one of each name");
      const auto dimensions = read<std::uint32_t>(what);
      if (dimensions > kMaxDimensions) {
        fail(fmt::format("{} has {} dimensions", what, dimensions), fmt::format("at most {}", kMaxDimensions));
      }
      tensor.shape.resize(dimensions);
      for (std::uint32_t d = dimensions; d-- > 0;) {
        const auto size = read<std::uint64_t>(what);
        if (size == 0 || size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
          fail(fmt::format("{} has a dimension of {}", what, static_cast<std::int64_t>(size)), "1 or more");
        }
        tensor.shape[d] = static_cast<std::size_t>(size);
      }
      const auto number = read<std::uint32_t>(what);
      const auto type = ggml_type_from_number(number);
      if (!type) {
        fail(fmt::format("{} has the type {}", what, unsupported_ggml_type_name(number)), supported_ggml_types());
      }
      tensor.type = *type;
      bytes_.push_back(data_bytes(tensor, what));
      offsets_.push_back(read<std::uint64_t>(what));
      contents_.tensors.push_back(std::move(tensor));
    }
  }

  std::uint64_t data_bytes(const GgufTensor& tensor, const std::string& what) const {
    const GgmlBlock block = block_of(tensor.type);
    const std::size_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (row % block.values != 0) {
      fail(fmt::format("{} of type {} has rows of {} values", what, name(tensor.type), row),
           fmt::format("a multiple of {}", block.values));
    }
    std::optional<std::uint64_t> size = row / block.values;
    for (std::size_t d = 0; d + 1 < tensor.shape.size() && size; ++d)
      size = try_multiply<std::uint64_t>(*size, tensor.shape[d]);
    if (size) size = try_multiply<std::uint64_t>(*size, block.bytes);
    // The number of values must fit as well: the dequantized tensor has 4 bytes for each.
    if (!size || *size > std::numeric_limits<std::uint64_t>::max() / (4 * block.values)) {
      fail(fmt::format("the size of {} overflows 64 bits", what));
    }
    return *size;
  }

  void place_tensors() {
    const std::uint64_t padding = (alignment_ - position_ % alignment_) % alignment_;
    const std::uint64_t available = padding > remaining() ? 0 : remaining() - padding;
    for (std::size_t i = 0; i < contents_.tensors.size(); ++i) {
      GgufTensor& tensor = contents_.tensors[i];
      if (offsets_[i] % alignment_ != 0) {
        fail(fmt::format("the data of tensor \"{}\" is at offset {}", tensor.name, offsets_[i]),
             fmt::format("a multiple of the alignment {}", alignment_));
      }
      if (offsets_[i] > available || bytes_[i] > available - offsets_[i]) {
        fail(fmt::format("tensor \"{}\" needs {} bytes at offset {} of the data, which has {}", tensor.name, bytes_[i],
                         offsets_[i], available),
             "a complete GGUF file");
      }
      tensor.bytes = file_.subspan(position_ + static_cast<std::size_t>(padding + offsets_[i]),
                                   static_cast<std::size_t>(bytes_[i]));
    }
    refuse_overlaps();
  }

  void refuse_overlaps() const {
    std::vector<std::size_t> order(contents_.tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return offsets_[a] < offsets_[b]; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (offsets_[order[i - 1]] + bytes_[order[i - 1]] > offsets_[order[i]]) {
        fail(fmt::format("the data of tensors \"{}\" and \"{}\" overlap", contents_.tensors[order[i - 1]].name,
                         contents_.tensors[order[i]].name));
      }
    }
  }

  std::span<const std::byte> file_;
  const std::string& where_;
  std::size_t position_ = 0;
  std::uint64_t alignment_ = kDefaultAlignment;
  std::uint64_t array_items_ = 0;
  std::vector<std::uint64_t> offsets_;  // of the tensors, as in contents_
  std::vector<std::uint64_t> bytes_;
  GgufContents contents_;
};

}  // namespace

GgufContents parse_gguf(std::span<const std::byte> file, const std::string& where) {
  return Parser(file, where).parse();
}

}  // namespace lcomp
