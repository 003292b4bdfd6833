#include "lcomp/world/world_config.h"

#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

void read_size(ConfigReader& reader, const char* key, std::size_t& value, std::int64_t low, std::int64_t high) {
  value = static_cast<std::size_t>(reader.integer_or(key, static_cast<std::int64_t>(value), low, high));
}

}  // namespace

WorldConfig WorldConfig::from_json(const nlohmann::json& json, const std::string& where) {
  constexpr std::int64_t most_lines = 10'000'000;
  WorldConfig config;
  ConfigReader reader(json, where);
  config.seed = static_cast<std::uint64_t>(reader.integer_or("seed", 0, 0, std::numeric_limits<std::int64_t>::max()));
  read_size(reader, "facts", config.facts, 1, 1'000'000);
  read_size(reader, "held_out_every", config.held_out_every, 0, 1000);
  if (config.held_out_every == 1) {
    throw Error({reader.where("held_out_every"), "1, which leaves no fact to ask about", "0, or 2 and more", ""});
  }
  if (reader.has("lines")) {
    ConfigReader lines(reader.object("lines"), reader.where("lines"));
    read_size(lines, "facts", config.lines.facts, 0, most_lines);
    read_size(lines, "open", config.lines.open, 0, most_lines);
    read_size(lines, "stated", config.lines.stated, 0, most_lines);
    read_size(lines, "shots", config.lines.shots, 0, most_lines);
    lines.finish();
  }
  read_size(reader, "sentences", config.sentences, 1, 1000);
  read_size(reader, "open_questions", config.open_questions, 1, 1000);
  config.letter_weight = reader.real_or("letter_weight", config.letter_weight, 0, 1e6);
  config.question_weight = reader.real_or("question_weight", config.question_weight, 0, 1e6);
  read_size(reader, "asked", config.asked, 1, 1000);
  read_size(reader, "held_out_texts", config.held_out_texts, 1, most_lines);
  read_size(reader, "calibration_texts", config.calibration_texts, 1, most_lines);
  reader.finish();
  return config;
}

nlohmann::json to_json(const WorldConfig& config) {
  return {{"seed", config.seed},
          {"facts", config.facts},
          {"held_out_every", config.held_out_every},
          {"lines",
           {{"facts", config.lines.facts},
            {"open", config.lines.open},
            {"stated", config.lines.stated},
            {"shots", config.lines.shots}}},
          {"sentences", config.sentences},
          {"open_questions", config.open_questions},
          {"letter_weight", config.letter_weight},
          {"question_weight", config.question_weight},
          {"asked", config.asked},
          {"held_out_texts", config.held_out_texts},
          {"calibration_texts", config.calibration_texts}};
}

}  // namespace lcomp
