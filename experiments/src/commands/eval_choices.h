#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands/command_context.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// Options of `lcomp eval` for tasks of questions with choices.
struct ChoiceOptions {
  std::string prompt, normalize, shots_file, answers, against;
  std::optional<std::size_t> shots, limit, seed;
  std::vector<std::string> subjects;
  bool unshared = false;
};

void add_choice_options(Command& command, ChoiceOptions& options);

// Asks the questions and prints the accuracies. `task`: "mmlu", "arc-easy", "arc-challenge" or "choices" with `file`.
void run_choice_task(const std::string& model, const std::string& task, const std::string& file, bool add_special,
                     ComputeType compute, const ChoiceOptions& options, const CommandContext& context);

}  // namespace lcomp
