#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <map>

#include "interchange/gguf_parser.h"
#include "lcomp/core/error.h"
#include "lcomp/interchange/gguf.h"
#include "lcomp/io/mapped_file.h"

namespace lcomp {
namespace {

std::string_view kind_of(const GgufValue& value) {
  constexpr std::array<std::string_view, 6> kNames = {"an unsigned integer", "an integer", "a real number",
                                                      "a boolean",           "a string",   "an array"};
  return kNames.at(value.value.index());
}

// Decodes values [begin, begin + out.size()) of a tensor, also where they begin or end within a block.
void decode_values(const GgufTensor& tensor, std::size_t begin, std::span<float> out) {
  const GgmlBlock block = block_of(tensor.type);
  std::array<float, 256> partial;
  assert(block.values <= partial.size());
  const auto blocks = [&](std::size_t first, std::size_t count) {
    return tensor.bytes.subspan(first * block.bytes, count * block.bytes);
  };
  while (!out.empty()) {
    const std::size_t first = begin / block.values;
    const std::size_t skipped = begin % block.values;
    if (skipped == 0 && out.size() >= block.values) {
      const std::size_t count = out.size() / block.values;
      dequantize(tensor.type, blocks(first, count), out.first(count * block.values));
      out = out.subspan(count * block.values);
      begin += count * block.values;
    } else {
      const std::size_t count = std::min(block.values - skipped, out.size());
      dequantize(tensor.type, blocks(first, 1), std::span(partial).first(block.values));
      std::copy_n(partial.begin() + static_cast<std::ptrdiff_t>(skipped), count, out.begin());
      out = out.subspan(count);
      begin += count;
    }
  }
}

}  // namespace

struct GgufFile::State {
  std::string where;
  MappedFile file;
  GgufContents contents;
  std::map<std::string, std::size_t, std::less<>> metadata_index;
  std::vector<TensorInfo> infos;            // sorted by name
  std::vector<std::size_t> tensor_of_info;  // infos[i] describes contents.tensors[tensor_of_info[i]]

  explicit State(const std::filesystem::path& path)
      : where(path.string()), file(path), contents(parse_gguf(file.bytes(), where)) {
    for (std::size_t i = 0; i < contents.metadata.size(); ++i) metadata_index.emplace(contents.metadata[i].first, i);
    std::map<std::string_view, std::size_t> sorted;
    for (std::size_t i = 0; i < contents.tensors.size(); ++i) sorted.emplace(contents.tensors[i].name, i);
    for (const auto& [tensor_name, i] : sorted) {
      const GgufTensor& tensor = contents.tensors[i];
      infos.push_back({tensor.name, tensor.shape, std::string(name(tensor.type)), tensor.bytes.size()});
      tensor_of_info.push_back(i);
    }
  }

  const GgufValue& required(std::string_view key) const {
    const auto at = metadata_index.find(key);
    if (at == metadata_index.end()) throw Error({where, fmt::format("no metadata \"{}\"", key), "", ""});
    return contents.metadata[at->second].second;
  }

  template <typename T>
  const T& required_as(std::string_view key, std::string_view expected) const {
    const GgufValue& value = required(key);
    if (const T* typed = std::get_if<T>(&value.value)) return *typed;
    throw Error({where, fmt::format("metadata \"{}\" is {}", key, kind_of(value)), std::string(expected), ""});
  }
};

GgufFile::GgufFile(const std::filesystem::path& path) : state_(std::make_unique<State>(path)) {}

GgufFile::~GgufFile() = default;

const GgufValue* GgufFile::find_metadata(std::string_view key) const {
  const auto at = state_->metadata_index.find(key);
  return at == state_->metadata_index.end() ? nullptr : &state_->contents.metadata[at->second].second;
}

const std::vector<std::pair<std::string, GgufValue>>& GgufFile::metadata() const { return state_->contents.metadata; }

std::uint64_t GgufFile::unsigned_value(std::string_view key) const {
  const GgufValue& value = state_->required(key);
  if (const auto* number = std::get_if<std::int64_t>(&value.value); number != nullptr && *number >= 0) {
    return static_cast<std::uint64_t>(*number);
  }
  return state_->required_as<std::uint64_t>(key, "an integer of 0 or more");
}

double GgufFile::float_value(std::string_view key) const {
  const GgufValue& value = state_->required(key);
  if (const auto* number = std::get_if<std::uint64_t>(&value.value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<std::int64_t>(&value.value)) return static_cast<double>(*number);
  return state_->required_as<double>(key, "a number");
}

const std::string& GgufFile::string_value(std::string_view key) const {
  return state_->required_as<std::string>(key, "a string");
}

const GgufArray& GgufFile::array_value(std::string_view key) const {
  return state_->required_as<GgufArray>(key, "an array");
}

const std::vector<GgufTensor>& GgufFile::gguf_tensors() const { return state_->contents.tensors; }

const std::string& GgufFile::where() const { return state_->where; }

const std::vector<TensorInfo>& GgufFile::tensors() const { return state_->infos; }

void GgufFile::read_rows(std::string_view tensor_name, std::size_t row_begin, std::size_t row_count,
                         std::span<float> out) const {
  const TensorInfo& tensor = info(tensor_name);
  if (row_begin > tensor.rows() || row_count > tensor.rows() - row_begin) {
    throw Error({where(),
                 fmt::format("rows {} to {} of tensor \"{}\", which has {}", row_begin, row_begin + row_count,
                             tensor_name, tensor.rows()),
                 "", ""});
  }
  assert(out.size() == row_count * tensor.cols());
  read_values(tensor_name, row_begin * tensor.cols(), out);
}

void GgufFile::read_values(std::string_view tensor_name, std::size_t begin, std::span<float> out) const {
  const TensorInfo& tensor = info(tensor_name);
  const auto index = static_cast<std::size_t>(&tensor - state_->infos.data());
  const GgufTensor& stored = state_->contents.tensors[state_->tensor_of_info[index]];
  if (begin > tensor.elements() || out.size() > tensor.elements() - begin) {
    throw Error({where(),
                 fmt::format("values {} to {} of tensor \"{}\", which has {}", begin, begin + out.size(), tensor_name,
                             tensor.elements()),
                 "", ""});
  }
  if (stored.type == GgmlType::i16 || stored.type == GgmlType::i32 || stored.type == GgmlType::i64) {
    throw Error({where(), fmt::format("tensor \"{}\" is of type {}", tensor_name, name(stored.type)), "a weight", ""});
  }
  decode_values(stored, begin, out);

  const GgmlBlock block = block_of(stored.type);
  const std::size_t size = out.size() / block.values * block.bytes;
  if (size < MappedFile::worth_releasing) return;
  const auto at = static_cast<std::size_t>(stored.bytes.data() - state_->file.bytes().data());
  state_->file.release(at + begin / block.values * block.bytes, size);
}

}  // namespace lcomp
