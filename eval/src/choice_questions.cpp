#include "lcomp/eval/choice_questions.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <sstream>
#include <utility>

#include "csv.h"
#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "mmlu_subjects.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostChoices = 26;

std::string letter(std::size_t i) { return std::string(1, static_cast<char>('A' + i)); }

std::vector<std::string> letters(std::size_t count) {
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < count; ++i) labels.push_back(letter(i));
  return labels;
}

std::string stripped(const std::string& text) {
  constexpr const char* blanks = " \t\r\n\f\v";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

void require_file(const fs::path& path, const std::string& layout, const std::string& published) {
  if (fs::is_regular_file(path)) return;
  throw Error({path.string(), "no such file", layout, "published at " + published + "; see docs/data.md"});
}

struct Subject {
  std::string name, category;
};

// Those of mmlu/subjects.csv where the set has one, else the 57 of MMLU.
std::vector<Subject> known_subjects(const fs::path& data) {
  std::vector<Subject> known;
  const fs::path path = data / "mmlu" / "subjects.csv";
  if (!fs::exists(path)) {
    for (const MmluSubject& subject : mmlu_subjects()) {
      known.push_back({std::string(subject.name), std::string(subject.category)});
    }
    return known;
  }
  for (const CsvRecord& record : parse_csv(read_text_file(path), path.string())) {
    const std::string where = fmt::format("{}: line {}", path.string(), record.line);
    if (record.fields.size() != 2) {
      throw Error({where, fmt::format("{} columns", record.fields.size()), "2: subject, category", ""});
    }
    const std::string& name = record.fields[0];
    if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
      throw Error({where, fmt::format("the subject \"{}\"", name.substr(0, 40)),
                   "a name of small letters, digits and underscores", ""});
    }
    if (std::any_of(known.begin(), known.end(), [&](const Subject& other) { return other.name == name; })) {
      throw Error({where, fmt::format("the subject \"{}\" a second time", name), "each once", ""});
    }
    known.push_back({name, record.fields[1]});
  }
  if (known.empty()) throw Error({path.string(), "no subject", "at least one", ""});
  return known;
}

Subject find_subject(const std::vector<Subject>& known, const std::string& name) {
  const auto found = std::find_if(known.begin(), known.end(), [&](const Subject& s) { return s.name == name; });
  if (found != known.end()) return *found;
  std::string names;
  for (const Subject& subject : known) names += (names.empty() ? "" : ", ") + subject.name;
  throw Error({"subjects", fmt::format("the unknown subject \"{}\"", name), "one of " + names, ""});
}

void read_mmlu_file(const fs::path& path, const Subject& subject, std::vector<ChoiceQuestion>& questions) {
  require_file(path, "CSV: question, A, B, C, D, answer", "the hendrycks/test repository, data.tar");
  std::size_t number = 0;
  for (CsvRecord& record : parse_csv(read_text_file(path), path.string())) {
    const std::string where = fmt::format("{}: line {}", path.string(), record.line);
    if (record.fields.size() != 6) {
      throw Error({where, fmt::format("{} columns", record.fields.size()), "6: question, A, B, C, D, answer", ""});
    }
    const std::string answer = record.fields[5];
    if (answer.size() != 1 || answer[0] < 'A' || answer[0] > 'D') {
      throw Error({where, fmt::format("the answer \"{}\"", answer.substr(0, 40)), "A, B, C or D", ""});
    }
    ChoiceQuestion question;
    question.id = fmt::format("{}/{}", subject.name, number++);
    question.subject = subject.name;
    question.category = subject.category;
    question.question = std::move(record.fields[0]);
    question.choices.assign(record.fields.begin() + 1, record.fields.begin() + 5);
    question.labels = letters(4);
    question.answer = static_cast<std::size_t>(answer[0] - 'A');
    questions.push_back(std::move(question));
  }
  if (number == 0) throw Error({path.string(), "no question", "at least one", ""});
}

// Calls read(json, where, number) for each line that is not blank.
template <typename Read>
void each_json_line(const fs::path& path, const Read& read) {
  std::istringstream lines(read_text_file(path));
  std::string line;
  std::size_t number = 0;
  for (std::size_t n = 1; std::getline(lines, line); ++n) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = fmt::format("{}: line {}", path.string(), n);
    const nlohmann::json object = parse_json(line, where);
    ConfigReader reader(object, where);
    read(reader, number++);
    reader.finish();
  }
  if (number == 0) throw Error({path.string(), "no question", "at least one", ""});
}

struct Mark {
  std::size_t begin, end;  // of "(A) "
};

// The marks "(A) ", "(B) ", ... or "(1) ", "(2) ", ... of the choices in a prompt. Text in brackets may come before or
// within them ("vitamin (A) ..."), so that the longest run is taken, and of equal ones the last to begin.
std::vector<Mark> choice_marks(const std::string& text, char first) {
  std::vector<Mark> best;
  const auto find = [&](char label, std::size_t from) { return text.find(std::string{'(', label, ')', ' '}, from); };
  for (std::size_t begin = find(first, 0); begin != std::string::npos; begin = find(first, begin + 1)) {
    std::vector<Mark> marks = {{begin, begin + 4}};
    for (char label = static_cast<char>(first + 1); marks.size() < 9; ++label) {
      const std::size_t next = find(label, marks.back().end);
      if (next == std::string::npos) break;
      marks.push_back({next, next + 4});
    }
    if (marks.size() >= best.size()) best = std::move(marks);
  }
  return best;
}

ChoiceQuestion arc_question(ConfigReader& reader, const std::string& id) {
  ChoiceQuestion question;
  question.id = id;
  question.letter_prompt = reader.string("prompt");
  const std::string answer = reader.string("answer");
  constexpr std::string_view end = "\nAnswer:";
  if (!question.letter_prompt.ends_with(end)) {
    throw Error({reader.where("prompt"), "no \"Answer:\" in a line of its own at the end", "a prompt of ARC", ""});
  }
  const std::string body = question.letter_prompt.substr(0, question.letter_prompt.size() - end.size());
  char first = 'A';
  std::vector<Mark> marks = choice_marks(body, 'A');
  if (std::vector<Mark> digits = choice_marks(body, '1'); digits.size() > marks.size()) {
    marks = std::move(digits);
    first = '1';
  }
  if (marks.size() < 2) {
    throw Error(
        {reader.where("prompt"), fmt::format("{} choices", marks.size()), "(A) ... (B) ... or (1) ... (2) ...", ""});
  }
  question.question = stripped(body.substr(0, marks[0].begin));
  for (std::size_t i = 0; i < marks.size(); ++i) {
    const std::size_t to = i + 1 < marks.size() ? marks[i + 1].begin : body.size();
    question.choices.push_back(stripped(body.substr(marks[i].end, to - marks[i].end)));
    question.labels.push_back(std::string(1, static_cast<char>(first + static_cast<char>(i))));
  }
  const auto found = std::find(question.labels.begin(), question.labels.end(), answer);
  if (found == question.labels.end()) {
    throw Error({reader.where("answer"), fmt::format("\"{}\"", answer.substr(0, 40)),
                 fmt::format("a label from {} to {}", question.labels.front(), question.labels.back()), ""});
  }
  question.answer = static_cast<std::size_t>(found - question.labels.begin());
  return question;
}

ChoiceQuestion own_question(ConfigReader& reader, const std::string& stem, std::size_t number) {
  ChoiceQuestion question;
  question.question = reader.string("question");
  question.choices = reader.strings("choices");
  if (question.choices.size() < 2 || question.choices.size() > kMostChoices) {
    throw Error({reader.where("choices"), fmt::format("{} choices", question.choices.size()),
                 fmt::format("2 to {}", kMostChoices), ""});
  }
  question.labels = letters(question.choices.size());
  question.subject = reader.string_or("subject", "");
  question.category = reader.string_or("category", "");
  const std::size_t last = question.choices.size() - 1;
  const nlohmann::json& answer = reader.any("answer");
  if (answer.is_number_integer()) {
    question.answer = static_cast<std::size_t>(reader.integer("answer", 0, static_cast<std::int64_t>(last)));
  } else {
    question.answer = static_cast<std::size_t>(
        std::find(question.labels.begin(), question.labels.end(), reader.one_of("answer", question.labels)) -
        question.labels.begin());
  }
  question.id = fmt::format("{}/{}", question.subject.empty() ? stem : question.subject, number);
  return question;
}

std::vector<ChoiceQuestion> own_questions(const fs::path& path) {
  std::vector<ChoiceQuestion> questions;
  each_json_line(path, [&](ConfigReader& reader, std::size_t number) {
    questions.push_back(own_question(reader, path.stem().string(), number));
  });
  // Questions of one subject together, subjects in the order of their first question.
  std::map<std::string, std::size_t> order;
  for (const auto& q : questions) order.emplace(q.subject, order.size());
  std::stable_sort(questions.begin(), questions.end(), [&](const ChoiceQuestion& a, const ChoiceQuestion& b) {
    return order.at(a.subject) < order.at(b.subject);
  });
  return questions;
}

}  // namespace

ChoiceSet read_mmlu(const fs::path& data, const std::vector<std::string>& subjects) {
  const bool own_subjects = fs::exists(data / "mmlu" / "subjects.csv");
  std::vector<Subject> wanted = known_subjects(data);
  if (!subjects.empty()) {
    const std::vector<Subject> known = std::exchange(wanted, {});
    for (const std::string& name : subjects) {
      if (!own_subjects) mmlu_subject(name, "subjects");  // whose error is shorter than a list of 57
      wanted.push_back(find_subject(known, name));
      if (std::count(subjects.begin(), subjects.end(), name) > 1) {
        throw Error({"subjects", fmt::format("\"{}\" twice", name), "each once", ""});
      }
    }
  }
  ChoiceSet set;
  for (const Subject& subject : wanted) {
    read_mmlu_file(data / "mmlu" / "test" / fmt::format("{}_test.csv", subject.name), subject, set.questions);
    read_mmlu_file(data / "mmlu" / "dev" / fmt::format("{}_dev.csv", subject.name), subject, set.shots);
  }
  return set;
}

ChoiceSet read_arc(const fs::path& data, ArcLevel level) {
  const std::string name = level == ArcLevel::easy ? "arc-easy" : "arc-challenge";
  const fs::path path = data / "arc" / (name + ".jsonl");
  require_file(path, R"(JSON lines {"prompt": "... (A) ... (B) ...\nAnswer:", "answer": "A"})",
               "the Hugging Face hub as allenai/ai2_arc");
  ChoiceSet set;
  each_json_line(path, [&](ConfigReader& reader, std::size_t number) {
    set.questions.push_back(arc_question(reader, fmt::format("{}/{}", name, number)));
  });
  return set;
}

ChoiceSet read_choices(const fs::path& questions, const fs::path& shots) {
  ChoiceSet set;
  set.questions = own_questions(questions);
  if (!shots.empty()) set.shots = own_questions(shots);
  return set;
}

std::vector<ChoiceQuestion> stratified_sample(const std::vector<ChoiceQuestion>& questions, std::size_t limit,
                                              std::uint64_t seed) {
  if (limit >= questions.size()) return questions;
  struct Stratum {
    std::string subject;
    std::vector<std::size_t> members;
    std::size_t taken = 0;
    std::size_t remainder = 0;  // of limit * members / questions
  };
  std::vector<Stratum> strata;
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    const auto [at, is_new] = index.emplace(questions[i].subject, strata.size());
    if (is_new) strata.push_back({questions[i].subject, {}, 0, 0});
    strata[at->second].members.push_back(i);
  }
  std::size_t left = limit;
  for (Stratum& s : strata) {
    s.taken = limit * s.members.size() / questions.size();
    s.remainder = limit * s.members.size() % questions.size();
    left -= s.taken;
  }
  std::vector<std::size_t> by_remainder(strata.size());
  std::iota(by_remainder.begin(), by_remainder.end(), 0);
  std::stable_sort(by_remainder.begin(), by_remainder.end(),
                   [&](std::size_t a, std::size_t b) { return strata[a].remainder > strata[b].remainder; });
  for (std::size_t i = 0; i < left; ++i) ++strata[by_remainder[i]].taken;
  std::vector<std::size_t> chosen;
  for (Stratum& s : strata) {
    Rng rng = Rng(seed).split(s.subject);
    rng.shuffle(std::span(s.members));
    chosen.insert(chosen.end(), s.members.begin(), s.members.begin() + static_cast<std::ptrdiff_t>(s.taken));
  }
  std::sort(chosen.begin(), chosen.end());
  std::vector<ChoiceQuestion> sample;
  for (const std::size_t i : chosen) sample.push_back(questions[i]);
  return sample;
}

}  // namespace lcomp
