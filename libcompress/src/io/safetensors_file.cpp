#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/mapped_file.h"
#include "lcomp/io/quoted_text.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "tensor data is little-endian and is used as it lies in the file");

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the limit of the format's reference implementation

// The header as text, and the data after it.
struct Parts {
  std::string_view header;
  std::span<const std::byte> data;
};

Parts split(std::span<const std::byte> bytes, const std::string& where) {
  const char* const advice = "it is no safetensors file, or the end of it is missing: fetch it again";
  if (bytes.size() < kLengthBytes) {
    throw Error({where, fmt::format("the file has {} bytes", bytes.size()), "an 8-byte header length first", advice});
  }
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  const std::size_t rest = bytes.size() - kLengthBytes;
  if (length > rest) {
    throw Error({where, fmt::format("a header of {} bytes in a file of {}", length, bytes.size()), "", advice});
  }
  if (length > kLongestHeader) {
    throw Error({where, fmt::format("a header of {} bytes", length), fmt::format("at most {}", kLongestHeader), ""});
  }
  const auto size = static_cast<std::size_t>(length);
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, size);
  if (!header.starts_with('{')) {
    throw Error(
        {where, size == 0 ? "an empty header" : "a header that does not begin with '{'", "a JSON object", advice});
  }
  return {header, bytes.subspan(kLengthBytes + size)};
}

// A JSON integer that is not negative and fits a size, or nothing.
std::optional<std::size_t> size_value(const json& value) {
  if (value.is_number_unsigned() && std::in_range<std::size_t>(value.get<std::uint64_t>())) {
    return static_cast<std::size_t>(value.get<std::uint64_t>());
  }
  return std::nullopt;
}

// [begin, end] with begin <= end, or nothing.
std::optional<std::pair<std::size_t, std::size_t>> range_value(const json& value) {
  if (!value.is_array() || value.size() != 2) return std::nullopt;
  const auto begin = size_value(value[0]);
  const auto end = size_value(value[1]);
  if (!begin || !end || begin > end) return std::nullopt;
  return std::pair(*begin, *end);
}

// One entry of the header with its place in the data, not yet compared with the others.
struct Placed {
  SafetensorsEntry entry;
  std::size_t begin = 0;
  std::size_t end = 0;
};

Placed read_entry(const std::string& name, const json& description, std::span<const std::byte> data,
                  const std::string& file) {
  const std::string where = file + ": tensor " + in_quotes(name);
  if (!description.is_object()) {
    throw Error({where, fmt::format("a description of type {}", description.type_name()), "an object", ""});
  }
  const auto field = [&](const char* key) -> const json& {
    const auto at = description.find(key);
    if (at == description.end())
      throw Error({where, fmt::format("no \"{}\"", key), "dtype, shape and data_offsets", ""});
    return *at;
  };
  const json& dtype = field("dtype");
  const json& shape = field("shape");
  const json& offsets = field("data_offsets");
  for (const auto& item : description.items()) {
    if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets") {
      throw Error({where, "the field " + in_quotes(item.key()), "dtype, shape and data_offsets", ""});
    }
  }

  Placed placed;
  placed.entry.name = name;
  const auto type = dtype.is_string() ? data_type_from_name(dtype.get_ref<const std::string&>()) : std::nullopt;
  if (!type) {
    throw Error({where, "dtype " + abbreviated(dtype.dump()),
                 "one of F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I64, I32, I16, I8, U64, U32, U16, U8, BOOL", ""});
  }
  placed.entry.type = *type;

  if (!shape.is_array()) throw Error({where, "shape " + abbreviated(shape.dump()), "an array of sizes", ""});
  std::optional<std::size_t> bytes = bytes_per_element(*type);
  for (const json& dimension : shape) {
    const auto size = size_value(dimension);
    if (!size) {
      throw Error(
          {where, fmt::format("the size {} in its shape", abbreviated(dimension.dump())), "an integer from 0", ""});
    }
    placed.entry.shape.push_back(*size);
    if (bytes) bytes = try_multiply(*bytes, *size);
  }
  if (!bytes)
    throw Error({where, fmt::format("shape {}, whose size in bytes overflows", abbreviated(shape.dump())), "", ""});

  const auto range = range_value(offsets);
  if (!range) {
    throw Error(
        {where, "data_offsets " + abbreviated(offsets.dump()), "two integers [begin, end], 0 <= begin <= end", ""});
  }
  const auto [begin, end] = *range;
  if (end - begin != *bytes) {
    throw Error({where, fmt::format("data_offsets [{}, {}], {} bytes", begin, end, end - begin),
                 fmt::format("{} bytes for {} {}", *bytes, lcomp::name(*type), abbreviated(shape.dump())), ""});
  }
  if (end > data.size()) {
    throw Error({where, fmt::format("its data ends at byte {} of {}", end, data.size()), "",
                 "the end of the file is missing: fetch it again"});
  }
  placed.begin = begin;
  placed.end = end;
  placed.entry.bytes = data.subspan(begin, *bytes);
  return placed;
}

// The tensors must cover the data, each byte once.
void require_cover(std::vector<Placed>& tensors, std::size_t data_bytes, const std::string& file) {
  std::sort(tensors.begin(), tensors.end(),
            [](const Placed& a, const Placed& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::size_t covered = 0;
  for (const Placed& tensor : tensors) {
    if (tensor.begin != covered) {
      throw Error({file + ": tensor " + in_quotes(tensor.entry.name),
                   fmt::format("its data begins at byte {}", tensor.begin),
                   fmt::format("byte {}, where the tensor before it ends", covered),
                   tensor.begin < covered ? "two tensors share bytes" : "bytes between two tensors belong to none"});
    }
    covered = tensor.end;
  }
  if (covered != data_bytes) {
    throw Error({file, fmt::format("{} bytes of data", data_bytes),
                 fmt::format("{}, where the last tensor ends", covered), ""});
  }
}

std::map<std::string, std::string> read_metadata(const json& object, const std::string& file) {
  const std::string where = file + ": __metadata__";
  if (!object.is_object()) throw Error({where, fmt::format("a value of type {}", object.type_name()), "an object", ""});
  std::map<std::string, std::string> metadata;
  for (const auto& item : object.items()) {
    if (!item.value().is_string()) {
      throw Error(
          {where, fmt::format("{}: {}", in_quotes(item.key()), abbreviated(item.value().dump())), "a string", ""});
    }
    metadata.emplace(item.key(), item.value().get_ref<const std::string&>());
  }
  return metadata;
}

}  // namespace

struct SafetensorsFile::State {
  explicit State(const std::filesystem::path& path) : file(path), where(path.string()) {}

  MappedFile file;
  std::string where;
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : state_(std::make_unique<State>(path)) {
  const std::string& where = state_->where;
  const Parts parts = split(state_->file.bytes(), where);
  const json header = parse_json(parts.header, where + ": header");

  std::vector<Placed> tensors;
  tensors.reserve(header.size());
  for (const auto& item : header.items()) {
    if (item.key() == "__metadata__") {
      state_->metadata = read_metadata(item.value(), where);
    } else {
      tensors.push_back(read_entry(item.key(), item.value(), parts.data, where));
    }
  }
  require_cover(tensors, parts.data.size(), where);
  for (Placed& tensor : tensors) state_->entries.push_back(std::move(tensor.entry));
  std::sort(state_->entries.begin(), state_->entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) { return a.name < b.name; });
}

SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const std::vector<SafetensorsEntry>& SafetensorsFile::entries() const { return state_->entries; }

const std::map<std::string, std::string>& SafetensorsFile::metadata() const { return state_->metadata; }

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto& all = state_->entries;
  const auto at =
      std::lower_bound(all.begin(), all.end(), name,
                       [](const SafetensorsEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return at != all.end() && at->name == name ? &*at : nullptr;
}

const SafetensorsEntry& SafetensorsFile::entry(std::string_view name) const {
  if (const SafetensorsEntry* found = find(name)) return *found;
  throw Error({state_->where, fmt::format("no tensor {} among {}", in_quotes(name), state_->entries.size()), "", ""});
}

void SafetensorsFile::release(std::span<const std::byte> bytes) const {
  const std::span<const std::byte> all = state_->file.bytes();
  if (bytes.empty() || bytes.data() < all.data() || bytes.data() >= all.data() + all.size()) return;
  state_->file.release(static_cast<std::size_t>(bytes.data() - all.data()), bytes.size());
}

}  // namespace lcomp
