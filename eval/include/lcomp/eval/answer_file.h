#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/eval/choice_scores.h"

namespace lcomp {

// A model's answers on disk, as JSON lines. The first line is `header`, an object that names the model and the task;
// each further line is one answer (to_json(ChoiceAnswer)), in the task's order. The file of a killed run may end
// anywhere.
struct AnswerFile {
  nlohmann::json header;
  std::vector<ChoiceAnswer> answers;
};

// Reads a complete file. Throws Error naming file and line.
AnswerFile read_answer_file(const std::filesystem::path& path);

// A file to which answers are appended as they are computed. Opening it in a second process at the same time is an
// Error.
class AnswerLog {
 public:
  // Creates the file, or continues an existing one with the same header; an incomplete last line is dropped. Throws
  // Error when the header of an existing file differs, saying in what, and for a line that is not an answer, naming it.
  AnswerLog(std::filesystem::path path, const nlohmann::json& header);
  ~AnswerLog();
  AnswerLog(const AnswerLog&) = delete;
  AnswerLog& operator=(const AnswerLog&) = delete;

  const std::vector<ChoiceAnswer>& answers() const { return answers_; }
  void keep(std::size_t count);                        // removes all answers from index `count` on, also on disk
  void append(std::span<const ChoiceAnswer> answers);  // on disk (fsync) when it returns

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::vector<ChoiceAnswer> answers_;
  std::vector<std::size_t> ends_;  // [answers + 1] bytes of the file up to the end of each line, the header's first
};

// Runs score_choices() with a log: complete groups of answers in the log are kept, the others are computed and
// appended. The complete file has the same bytes whether the run was interrupted or not. options.first_group and
// options.on_group are ignored. Returns all answers.
std::vector<ChoiceAnswer> answer_choices(Decoder& model, const ChoiceTask& task, AnswerLog& log,
                                         const ChoiceScoreOptions& options);

}  // namespace lcomp
