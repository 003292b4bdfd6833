#pragma once

#include <cstddef>
#include <cstdint>

#include <nlohmann/json.hpp>

namespace lcomp {

// How large the world is and how much is written of it.
struct WorldConfig {
  std::uint64_t seed = 0;
  std::size_t facts = 240;         // shared out evenly over the relations, as far as they have so many
  std::size_t held_out_every = 5;  // one group of facts in so many is never asked with choices in the texts; 0: none

  struct Lines {  // texts of each training file
    std::size_t facts = 20000;
    std::size_t open = 20000;
    std::size_t stated = 30000;
    std::size_t shots = 20000;  // of each of the six files shots_0 ... shots_5
  } lines;
  std::size_t sentences = 12;        // of a text of facts
  std::size_t open_questions = 6;    // of a text of open questions
  double letter_weight = 5;          // of the answer's letter, in the loss
  double question_weight = 0.1;      // of what a question says, its choices included
  std::size_t asked = 4;             // times that the evaluation asks a fact, with choices drawn anew
  std::size_t held_out_texts = 100;  // paragraphs of text for perplexity
  std::size_t calibration_texts = 200;

  // Keys as the fields above. Throws Error naming the key's path under `where`.
  static WorldConfig from_json(const nlohmann::json& json, const std::string& where);
};
nlohmann::json to_json(const WorldConfig& config);

}  // namespace lcomp
