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

// Which questions are asked, and how. Two models compare only under the same protocol.
struct ChoiceProtocol {
  enum class Task { mmlu, arc_easy, arc_challenge, choices };
  enum class Prompt {
    letters,  // the choices are in the prompt, the answer is the label with the highest logit after "Answer:"
    cloze,    // they are not: the answer is the choice whose text has the highest log-likelihood after "Answer:"
  };
  // What a choice's log-likelihood is divided by (cloze).
  enum class Normalization { byte, token, none };

  Task task = Task::mmlu;
  Prompt prompt = Prompt::letters;
  Normalization normalization = Normalization::byte;
  std::size_t shots = 5;              // 0 to 5 examples before a question; default 5 for mmlu, else 0
  std::vector<std::string> subjects;  // mmlu: only these
  std::filesystem::path file;         // choices: the questions
  std::filesystem::path shots_file;   // choices: the examples
  std::optional<std::size_t> limit;   // at most so many questions, a stratified sample
  std::uint64_t seed = 0;             // of the sample
  bool add_special = true;            // let the tokenizer add its begin token

  static std::optional<Task> task_from_name(const std::string& name);  // "mmlu", "arc-easy", ...

  // Reads "prompt", "normalize", "shots", "subjects", "file", "shots_file", "limit", "seed" and "bos". Throws Error for
  // a key that means nothing to the task, too.
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
