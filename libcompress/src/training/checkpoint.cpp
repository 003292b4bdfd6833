#include "training/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "lcomp/core/error.h"
#include "lcomp/core/value_range.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

constexpr std::size_t kept = 2;

struct Group {
  const char* prefix;
  Parameters TrainingState::*tensors;
};
constexpr std::array<Group, 3> groups = {Group{"weight.", &TrainingState::weights},
                                         Group{"first_moment.", &TrainingState::first_moment},
                                         Group{"second_moment.", &TrainingState::second_moment}};

// By their steps.
std::map<std::uint64_t, std::filesystem::path> checkpoints(const std::filesystem::path& folder) {
  std::map<std::uint64_t, std::filesystem::path> found;
  if (!std::filesystem::is_directory(folder)) return found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view prefix = "step-", suffix = ".safetensors";
    if (!name.starts_with(prefix) || !name.ends_with(suffix)) continue;
    const std::string digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
    if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != std::string::npos) continue;
    found.emplace(std::stoull(digits), entry.path());
  }
  return found;
}

}  // namespace

void save_checkpoint(const std::filesystem::path& folder, const TrainingState& state, const nlohmann::json& config,
                     const nlohmann::json& content) {
  for (const TensorInfo& info : state.weights.tensors()) {
    if (value_range(state.weights.values(info.name)).finite) continue;
    throw Error({fmt::format("step {}: {}", state.step, info.name), "weights that are NaN or infinite after the update",
                 "finite ones", "lower the learning rate"});
  }
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw system_error(folder.string(), "make the folder", failure.value());
  std::vector<SafetensorsDeclaration> declarations;
  for (const Group& group : groups) {
    for (const TensorInfo& info : (state.*group.tensors).tensors()) {
      declarations.push_back({group.prefix + info.name, DataType::f32, info.shape});
    }
  }
  const nlohmann::json description = {{"step", state.step},       {"tokens", state.tokens},
                                      {"seconds", state.seconds}, {"position", state.position},
                                      {"config", config},         {"content", content}};
  SafetensorsWriter writer(folder / fmt::format("step-{:08}.safetensors", state.step), std::move(declarations),
                           {{"training", description.dump()}});
  for (const Group& group : groups) {
    const Parameters& tensors = state.*group.tensors;
    for (const TensorInfo& info : tensors.tensors()) {
      writer.write(group.prefix + info.name, std::as_bytes(tensors.values(info.name)));
    }
  }
  writer.finish();
  std::map<std::uint64_t, std::filesystem::path> all = checkpoints(folder);
  while (all.size() > kept) {
    std::filesystem::remove(all.begin()->second, failure);  // one too many does no harm
    all.erase(all.begin());
  }
}

std::optional<std::filesystem::path> last_checkpoint(const std::filesystem::path& folder) {
  const auto all = checkpoints(folder);
  if (all.empty()) return std::nullopt;
  return all.rbegin()->second;
}

nlohmann::json checkpoint_description(const std::filesystem::path& file) {
  const SafetensorsFile tensors(file);
  const auto found = tensors.metadata().find("training");
  const Error wrong({file.string(), "a file that is no checkpoint of a training", "", "delete it"});
  if (found == tensors.metadata().end()) throw wrong;
  nlohmann::json description = parse_json(found->second, file.string());
  for (const char* key : {"step", "tokens", "seconds", "position", "config", "content"}) {
    if (!description.is_object() || !description.contains(key)) throw wrong;
  }
  if (!description["step"].is_number_unsigned() || !description["tokens"].is_number_unsigned() ||
      !description["seconds"].is_number()) {
    throw wrong;
  }
  return description;
}

void load_checkpoint(const std::filesystem::path& file, TrainingState& state) {
  const nlohmann::json description = checkpoint_description(file);
  const SafetensorsFile tensors(file);
  std::size_t expected = 0;
  for (const Group& group : groups) {
    Parameters& values = state.*group.tensors;
    for (const TensorInfo& info : values.tensors()) {
      const SafetensorsEntry& entry = tensors.entry(group.prefix + info.name);
      if (entry.type != DataType::f32 || entry.shape != info.shape) {
        throw Error({fmt::format("{}: {}", file.string(), entry.name), "another shape or type",
                     "that of the model in float32", "begin in a new folder"});
      }
      to_float(entry, 0, values.values(info.name));
      ++expected;
    }
  }
  if (tensors.entries().size() != expected) {
    throw Error({file.string(), fmt::format("{} tensors", tensors.entries().size()), fmt::format("{}", expected),
                 "begin in a new folder"});
  }
  state.step = description["step"];
  state.tokens = description["tokens"];
  state.seconds = description["seconds"];
  state.position = description["position"];
}

}  // namespace lcomp
