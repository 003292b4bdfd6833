// open_safetensors: one file, or the shards that an index lists, as a TensorSource.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/mapped_file.h"
#include "lcomp/io/quoted_text.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

using nlohmann::json;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

class SafetensorsSource : public TensorSource {
 public:
  SafetensorsSource(std::string where, std::vector<SafetensorsFile> files)
      : where_(std::move(where)), files_(std::move(files)) {
    for (const SafetensorsFile& file : files_) {
      for (const SafetensorsEntry& entry : file.entries()) places_.push_back({&entry, &file});
    }
    std::sort(places_.begin(), places_.end(),
              [](const Place& a, const Place& b) { return a.entry->name < b.entry->name; });
    for (const Place& place : places_) {
      const SafetensorsEntry& entry = *place.entry;
      tensors_.push_back({entry.name, entry.shape, std::string(name(entry.type)), entry.bytes.size()});
    }
  }

  const std::string& where() const override { return where_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }

  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override {
    const TensorInfo& tensor = info(name);
    const Place& place = places_[static_cast<std::size_t>(&tensor - tensors_.data())];
    const std::string where = where_ + ": tensor " + in_quotes(name);
    switch (place.entry->type) {
      case DataType::i64:
      case DataType::i32:
      case DataType::i16:
      case DataType::u64:
      case DataType::u32:
      case DataType::u16:
      case DataType::boolean:
        throw Error({where, "stored as " + tensor.stored_as, "F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I8 or U8", ""});
      case DataType::f64:
      case DataType::f32:
      case DataType::f16:
      case DataType::bf16:
      case DataType::f8_e4m3:
      case DataType::f8_e5m2:
      case DataType::i8:
      case DataType::u8:
        break;
    }
    if (row_begin > tensor.rows() || row_count > tensor.rows() - row_begin) {
      throw Error({where, fmt::format("{} rows from row {} asked for", row_count, row_begin),
                   fmt::format("a part of its {} rows", tensor.rows()), ""});
    }
    if (out.size() != row_count * tensor.cols()) {
      throw Error({where, fmt::format("room for {} values", out.size()),
                   fmt::format("{}, {} rows of {}", row_count * tensor.cols(), row_count, tensor.cols()), ""});
    }
    to_float(*place.entry, row_begin * tensor.cols(), out);
    const std::size_t width = bytes_per_element(place.entry->type);
    // Smaller reads (rows of an embedding) are likely to be asked for again.
    if (out.size() * width >= MappedFile::worth_releasing) {
      place.file->release(place.entry->bytes.subspan(row_begin * tensor.cols() * width, out.size() * width));
    }
  }

 private:
  struct Place {
    const SafetensorsEntry* entry;
    const SafetensorsFile* file;
  };

  std::string where_;
  std::vector<SafetensorsFile> files_;  // not moved any more: places_ refers to them
  std::vector<Place> places_;           // in the order of tensors_
  std::vector<TensorInfo> tensors_;
};

// Tensor name -> file name, both checked.
std::map<std::string, std::string> read_weight_map(const std::filesystem::path& index) {
  const json root = parse_json_file(index);
  const std::string where = index.string();
  if (!root.is_object() || !root.contains("weight_map") || !root.at("weight_map").is_object()) {
    throw Error({where, "no \"weight_map\"", "an object that maps tensor names to file names", ""});
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& item : root.at("weight_map").items()) {
    const std::string place = where + ": weight_map." + abbreviated(item.key());
    if (!item.value().is_string()) throw Error({place, abbreviated(item.value().dump()), "a file name", ""});
    const auto& file = item.value().get_ref<const std::string&>();
    if (file.empty() || file.starts_with('.') ||
        file.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      throw Error(
          {place, in_quotes(file), "the name of a file in the index's folder, without '/' and no '.' first", ""});
    }
    weight_map.emplace(item.key(), file);
  }
  if (weight_map.empty()) throw Error({where, "an empty \"weight_map\"", "at least one tensor", ""});
  return weight_map;
}

std::vector<SafetensorsFile> open_shards(const std::filesystem::path& index) {
  const std::string where = index.string();
  const auto weight_map = read_weight_map(index);
  std::map<std::string, std::size_t> tensors_of;  // file name -> how many the index places there
  for (const auto& [tensor, file] : weight_map) ++tensors_of[file];
  for (const auto& [file, count] : tensors_of) {
    std::error_code ignored;
    if (!std::filesystem::exists(index.parent_path() / file, ignored)) {
      throw Error({where,
                   fmt::format("the shard {} is missing, which holds {} of {} tensors", in_quotes(file), count,
                               weight_map.size()),
                   "", "fetch it into the same folder"});
    }
  }

  std::vector<SafetensorsFile> files;
  std::map<std::string, std::string> seen;  // tensor -> the shard that holds it
  for (const auto& shard : tensors_of) {
    const std::string& file = shard.first;
    files.emplace_back(index.parent_path() / file);
    for (const SafetensorsEntry& entry : files.back().entries()) {
      const auto [first, is_new] = seen.emplace(entry.name, file);
      const std::string what = "tensor " + in_quotes(entry.name);
      if (!is_new) {
        throw Error({where, fmt::format("{} is both in {} and in {}", what, in_quotes(first->second), in_quotes(file)),
                     "each tensor in one shard", "the shards belong to different models: fetch them again"});
      }
      const auto listed = weight_map.find(entry.name);
      if (listed == weight_map.end()) {
        throw Error({where, fmt::format("{} of {} is not in the index", what, in_quotes(file)), "",
                     "the index belongs to other files: fetch it again"});
      }
      if (listed->second != file) {
        throw Error({where, fmt::format("{} is in {}", what, in_quotes(file)),
                     fmt::format("it in {}", in_quotes(listed->second)),
                     "the index belongs to other files: fetch it again"});
      }
    }
  }
  for (const auto& [tensor, file] : weight_map) {
    if (!seen.contains(tensor)) {
      throw Error({where, fmt::format("tensor {} is not in {}", in_quotes(tensor), in_quotes(file)), "",
                   "the shard belongs to another model or is out of date: fetch it again"});
    }
  }
  return files;
}

std::vector<SafetensorsFile> open_one(const std::filesystem::path& path) {
  std::vector<SafetensorsFile> files;
  files.emplace_back(path);
  return files;
}

}  // namespace

std::unique_ptr<TensorSource> open_safetensors(const std::filesystem::path& path) {
  const std::string where = path.string();
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    const bool is_index = where.ends_with(".index.json");
    return std::make_unique<SafetensorsSource>(where, is_index ? open_shards(path) : open_one(path));
  }
  const auto single = path / kSingleFile;
  if (std::filesystem::exists(single, ignored)) return std::make_unique<SafetensorsSource>(where, open_one(single));
  const auto index = path / kIndexFile;
  if (std::filesystem::exists(index, ignored)) return std::make_unique<SafetensorsSource>(where, open_shards(index));
  throw Error({where, fmt::format("neither {} nor {} in the folder", kSingleFile, kIndexFile),
               "a model in safetensors format", ""});
}

}  // namespace lcomp
