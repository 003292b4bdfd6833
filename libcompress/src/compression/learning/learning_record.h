#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lcomp/compression/learned_allocation.h"

namespace lcomp {

// The rounds of a learning so far, and the steps of the one to come.
struct LearningProgress {
  std::vector<LearningRound> rounds;
  std::map<std::string, LearnedSteps> next;

  // Index of the round of least validation cost; and how many rounds have followed it. One round at least.
  std::size_t best() const;
  std::size_t failures() const { return rounds.size() - 1 - best(); }
  // Whether no round follows, of at most so many.
  bool is_finished(std::size_t most_rounds) const;
};

// Kept in a file, from which learning goes on after kill -9.
void store_learning(const std::filesystem::path& file, const LearningProgress& progress);
// Nothing where there is no file. Throws Error for a file that is no such record.
std::optional<LearningProgress> load_learning(const std::filesystem::path& file);

}  // namespace lcomp
