#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "lcomp/core/progress.h"
#include "lcomp/world/world.h"

namespace lcomp {

struct WorldSummary {
  std::size_t facts = 0, held_out_facts = 0;
  std::vector<std::pair<std::string, std::uint64_t>> files;  // bytes, by path below the folder
};

// Writes the world into a new folder, which appears when it is complete:
//   world.json                             the configuration, and every fact: relation, entity, object, held_out
//   train/{facts,open,stated,shots_0 ... shots_5}.jsonl   JSON lines {"text": ...} or {"parts": [[TEXT, WEIGHT], ...]}
//   eval/{trained,held_out}/mmlu/...       MMLU's layout, a data folder each: `asked` questions a fact in test, five
//                                          examples of trained facts a subject in dev, which tell no answer. A
//                                          subject's questions have each letter as the answer equally often, to within
//                                          one.
//   eval/text.txt                          paragraphs of sentences and open questions for perplexity, drawn anew
//   calibration.jsonl                      {"text": ...}: paragraphs, and prompts with five examples, in turn
// The same configuration gives the same bytes. A subject without held-out facts is left out of eval/held_out. Throws
// Error as make_world does, and when `folder` exists and `replace` is false or it can't be written.
WorldSummary write_world(const WorldConfig& config, const std::filesystem::path& folder, bool replace,
                         const ProgressCallback& progress = {});

}  // namespace lcomp
