#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/eval/choice_questions.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {

// The questions of a task and how they are asked. Results of two models are comparable only under the same protocol.
struct ChoiceProtocol {
  enum class Task { mmlu, arc_easy, arc_challenge, choices };
  enum class Prompt {
    letters,  // the choices are in the prompt, the answer is the label with the highest logit after "Answer:"
    cloze,    // the choices are not in it; the answer is the one with the highest log-likelihood after "Answer:"
  };
  // The length of a choice by which its log-likelihood is divided (cloze).
  enum class Normalization { byte, token, none };

  Task task = Task::mmlu;
  Prompt prompt = Prompt::letters;
  Normalization normalization = Normalization::byte;
  std::size_t shots = 5;              // 0 to 5 examples before a question; default 5 for mmlu, else 0
  std::vector<std::string> subjects;  // mmlu: the subjects to ask; empty: all
  std::filesystem::path file;         // choices: the questions
  std::filesystem::path shots_file;   // choices: the examples
  std::optional<std::size_t> limit;   // size of a stratified sample; absent: all questions
  std::uint64_t seed = 0;             // seed of the sample
  bool add_special = true;            // let the tokenizer add its begin token

  static std::optional<Task> task_from_name(const std::string& name);  // "mmlu", "arc-easy", ...

  // Reads "prompt", "normalize", "shots", "subjects", "file", "shots_file", "limit", "seed" and "bos". Throws Error
  // also for a key that the task does not use.
  static ChoiceProtocol from_config(Task task, ConfigReader& config);
  nlohmann::json to_json() const;  // complete, for hashing and results
  std::string name() const;        // "mmlu", ..., or the file's name
};

// The questions of a protocol, sampled, with their examples. `data` is not used for Task::choices. Throws Error as the
// readers of choice_questions.h do, and for a subject with fewer examples than shots.
ChoiceSet read_choice_set(const ChoiceProtocol& protocol, const std::string& data);

// The two pieces of a prompt by letters: "The following are multiple choice questions (with answers) about
// SUBJECT.\n\n", and "QUESTION\nA. CHOICE\nB. CHOICE ...\nAnswer:". A label follows the second as " LETTER".
std::string letters_header(const ChoiceQuestion& question);
std::string letters_question(const ChoiceQuestion& question);

// The text before the answer.
//   letters: letters_header, then letters_question for each example and the question, an example followed by
//            " LETTER\n\n". Underscores of the subject become blanks; without a subject, " about SUBJECT" is left out.
//            Of ARC the prompt as it is stored.
//   cloze:   "Question: QUESTION\nAnswer:", an example followed by " CHOICE\n\n"
// Source of the first: evaluate.py of the hendrycks/test repository, but for one blank instead of two before the
// subject.
std::string choice_context(const ChoiceProtocol& protocol, const ChoiceSet& set, const ChoiceQuestion& question);

}  // namespace lcomp
