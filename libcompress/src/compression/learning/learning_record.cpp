#include "compression/learning/learning_record.h"

#include <algorithm>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

constexpr std::size_t most_failures = 2;  // rounds one after the other that are no better

LearningRound round_from_json(const nlohmann::json& entry) {
  LearningRound round;
  round.bytes = entry.at("bytes").get<std::uint64_t>();
  round.training_cost = entry.at("training_cost").get<double>();
  round.validation_cost = entry.at("held_out_cost").get<double>();
  if (const nlohmann::json& spread = entry.at("price_spread"); !spread.is_null()) {
    round.multiplier_spread = spread.get<double>();
  }
  round.steps = steps_from_json(entry.at("steps"));
  return round;
}

}  // namespace

std::size_t LearningProgress::best() const {
  const auto least = std::ranges::min_element(rounds, {}, &LearningRound::validation_cost);
  return static_cast<std::size_t>(least - rounds.begin());
}

bool LearningProgress::is_finished(std::size_t most_rounds) const {
  if (rounds.empty()) return false;
  return rounds.size() >= most_rounds || failures() >= most_failures;
}

nlohmann::json to_json(const std::vector<LearningRound>& rounds) {
  nlohmann::json lines = nlohmann::json::array();
  for (const LearningRound& round : rounds) {
    const nlohmann::json spread = round.multiplier_spread ? nlohmann::json(*round.multiplier_spread) : nlohmann::json();
    lines.push_back({{"bytes", round.bytes},
                     {"training_cost", round.training_cost},
                     {"held_out_cost", round.validation_cost},
                     {"price_spread", spread}});
  }
  return lines;
}

void store_learning(const std::filesystem::path& file, const LearningProgress& progress) {
  nlohmann::json lines = to_json(progress.rounds);
  for (std::size_t r = 0; r < progress.rounds.size(); ++r) lines[r]["steps"] = to_json(progress.rounds[r].steps);
  const nlohmann::json json = {{"rounds", std::move(lines)}, {"next", to_json(progress.next)}};
  write_text_file(file, json.dump(1) + "\n");
}

std::optional<LearningProgress> load_learning(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  const nlohmann::json json = parse_json_file(file);
  ConfigReader reader(json, file.string());
  try {
    LearningProgress progress;
    for (const nlohmann::json& entry : reader.any("rounds")) progress.rounds.push_back(round_from_json(entry));
    progress.next = steps_from_json(reader.any("next"));
    return progress;
  } catch (const nlohmann::json::exception& failure) {
    throw Error({file.string(), failure.what(), "the rounds of a learning", "delete the folder to begin anew"});
  }
}

}  // namespace lcomp
