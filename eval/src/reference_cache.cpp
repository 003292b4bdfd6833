#include "lcomp/eval/reference_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

constexpr const char* kVersion = "reference states 1";  // raised when the meaning of stored files changes

std::string checksum(std::span<const std::byte> bytes) { return fmt::format("{:016x}", hash64(bytes)); }

Matrix read_states(const std::filesystem::path& path, std::size_t rows, std::size_t cols) {
  const SafetensorsFile file(path);
  const auto refuse = [&](const std::string& found, const std::string& expected) {
    throw Error({path.string(), found, expected, "delete it; it is made again"});
  };
  const SafetensorsEntry* entry = file.find("states");
  const auto text = [&file](const char* key) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  if (entry == nullptr || text("key") != path.stem().string()) {
    refuse("no states of an original, or those of another", "states under the name " + path.stem().string());
  }
  if (entry->type != DataType::f32 || entry->shape != std::vector<std::size_t>{rows, cols}) {
    refuse("states of another type or shape", fmt::format("float32 [{}, {}]", rows, cols));
  }
  if (text("checksum") != checksum(entry->bytes)) refuse("damaged states", "the checksum in its header");
  Matrix states(rows, cols);
  std::memcpy(states.data(), entry->bytes.data(), entry->bytes.size());
  return states;
}

}  // namespace

std::filesystem::path reference_file(const std::filesystem::path& folder, const std::string& model_hash,
                                     ComputeType compute, const ScoringBatch& batch) {
  Hasher hasher;
  hasher.update(kVersion);
  hasher.update(model_hash);
  hasher.update(compute == ComputeType::float32 ? "float32" : "bfloat16");
  hasher.update(hash_batch(batch));
  return folder / (hasher.hex() + ".safetensors");
}

Matrix cached_states(const std::filesystem::path& file, Decoder& original, const ScoringBatch& batch,
                     const ForwardOptions& options) {
  if (std::filesystem::exists(file)) {
    return read_states(file, batch.scored_tokens(), original.config().hidden_size);
  }
  Matrix states = scored_states(original, batch, options);
  const auto bytes = std::as_bytes(states.span());
  std::error_code failure;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), failure);
  if (failure) throw system_error(file.parent_path().string(), "make the folder", failure.value());
  SafetensorsWriter writer(
      file, {{"states", DataType::f32, {states.rows(), states.cols()}}},
      {{"key", file.stem().string()}, {"checksum", checksum(bytes)}, {"description", batch.description}});
  writer.write("states", bytes);
  writer.finish();
  return states;
}

}  // namespace lcomp
