#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lcomp {

// A question with a few answers to choose from.
struct ChoiceQuestion {
  std::string id;        // unique within its task: "abstract_algebra/0"
  std::string subject;   // "" where the set has none
  std::string category;  // same
  std::string question;
  std::vector<std::string> choices;  // 2 to 26
  std::vector<std::string> labels;   // of the choices: "A", "B", ...; "1", "2", ... in some of ARC
  std::size_t answer = 0;            // index of the right choice
  std::string letter_prompt;         // as published, where the set comes with a prompt; else ""
};

// Questions in the order of the files, with the examples of each subject that precede its questions as shots.
struct ChoiceSet {
  std::vector<ChoiceQuestion> questions;
  std::vector<ChoiceQuestion> shots;  // any order of subjects; those of one subject in the files' order
};

// MMLU: DATA/mmlu/test/SUBJECT_test.csv and dev/SUBJECT_dev.csv, the published CSV files of six columns, question, A,
// B, C, D, answer; no header. A set of other subjects in the same layout names them in DATA/mmlu/subjects.csv, two
// columns, subject and category, in the order in which they are asked; without that file they are MMLU's 57.
// `subjects`: only these, all when empty. Throws Error naming file and line for another number of columns, an answer
// that is no letter from A to D or a subject's name other than small letters, digits and underscores, and for an
// unknown subject or an absent file.
ChoiceSet read_mmlu(const std::filesystem::path& data, const std::vector<std::string>& subjects);

enum class ArcLevel { easy, challenge };

// ARC: DATA/arc/arc-{easy,challenge}.jsonl, {"prompt": "QUESTION (A) CHOICE (B) CHOICE ...\nAnswer:", "answer": "B"} a
// line. Question and choices are cut out of the prompt, and outer blanks stripped. Throws Error naming file and line
// for a prompt without such choices or an answer that is none of their labels.
ChoiceSet read_arc(const std::filesystem::path& data, ArcLevel level);

// A user's own questions, JSON lines: {"question", "choices": ["...", ...], "answer": index from 0 or letter, "subject"
// (optional), "category" (optional)}. `shots`: a file of the same layout; empty: none. Throws Error naming file and
// line.
ChoiceSet read_choices(const std::filesystem::path& questions, const std::filesystem::path& shots);

// A sample of `limit` questions, as many of each subject as its share in the whole set (largest remainders; ties go to
// the subject that comes first), drawn within the subject by a stream of `seed` and the subject's name; in the set's
// order. A larger sample holds most of a smaller one, not all. All when limit >= size.
std::vector<ChoiceQuestion> stratified_sample(const std::vector<ChoiceQuestion>& questions, std::size_t limit,
                                              std::uint64_t seed);

}  // namespace lcomp
