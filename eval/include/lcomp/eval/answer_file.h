#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/eval/choice_scores.h"

namespace lcomp {

// Answers of a model on disk, JSON lines. First line: an object that says what was asked of whom (`header`); then an
// answer a line, in the task's order (ChoiceAnswer's to_json). A file of a run that was killed ends anywhere.
struct AnswerFile {
  nlohmann::json header;
  std::vector<ChoiceAnswer> answers;
};

// Reads a complete file. Throws Error naming file and line.
AnswerFile read_answer_file(const std::filesystem::path& path);

// Appends answers as they come. Not for use by several processes at once: a second one is an Error.
class AnswerLog {
 public:
  // Makes the file, or goes on with one that has the same header; a last line that is cut off is dropped. Throws Error
  // saying what differs in the header of an existing file, or naming the line that is no answer.
  AnswerLog(std::filesystem::path path, const nlohmann::json& header);
  ~AnswerLog();
  AnswerLog(const AnswerLog&) = delete;
  AnswerLog& operator=(const AnswerLog&) = delete;

  const std::vector<ChoiceAnswer>& answers() const { return answers_; }
  void keep(std::size_t count);                        // forgets all answers from `count` on, on disk too
  void append(std::span<const ChoiceAnswer> answers);  // on disk (fsync) when it returns

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::vector<ChoiceAnswer> answers_;
  std::vector<std::size_t> ends_;  // [answers + 1] bytes of the file up to the end of each line, the header's first
};

// Runs score_choices() with a log: what the log holds of whole groups is kept, the rest computed and appended. The
// file, once complete, has the same bytes whether it was interrupted or not. options.first_group and on_group are not
// used. Returns all answers.
std::vector<ChoiceAnswer> answer_choices(Decoder& model, const ChoiceTask& task, AnswerLog& log,
                                         const ChoiceScoreOptions& options);

}  // namespace lcomp
