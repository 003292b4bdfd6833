#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include <nlohmann/json.hpp>

#include "lcomp/training/parameters.h"

namespace lcomp {

// What a training is made of between two steps.
struct TrainingState {
  std::uint64_t step = 0;  // updates done
  std::uint64_t tokens = 0;
  double seconds = 0;
  nlohmann::json position;  // in the data
  Parameters weights, first_moment, second_moment;
};

// A checkpoint is one safetensors file, FOLDER/step-00000500.safetensors, float32:
//   weight.NAME, first_moment.NAME, second_moment.NAME   of every tensor
//   metadata "training": {"step", "tokens", "seconds", "position", "config", "content"} as JSON
// `config` is the configuration with all defaults, `content` hashes of the files that it names. Random choices need no
// state: they depend on the seed and on where the training stands.

// Writes one; it gets its name when it is complete, whatever happens. Then deletes all but the last two. Throws Error
// (system) when the disk is full, with those that were there before untouched, and for weights that are not finite.
void save_checkpoint(const std::filesystem::path& folder, const TrainingState& state, const nlohmann::json& config,
                     const nlohmann::json& content);

// The one with the most steps.
std::optional<std::filesystem::path> last_checkpoint(const std::filesystem::path& folder);

// The metadata of a checkpoint. Throws Error for a file that is none.
nlohmann::json checkpoint_description(const std::filesystem::path& file);
// Fills the state, whose tensors say what is expected. Throws Error naming a tensor that is missing, left over or of
// another shape.
void load_checkpoint(const std::filesystem::path& file, TrainingState& state);

}  // namespace lcomp
