#include "lcomp/eval/choice_questions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "mmlu_subjects.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::data;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message;
using testing::TemporaryFolder;

TEST(MmluSubjects, AreThoseOfTheBenchmark) {
  std::map<std::string_view, int> categories;
  for (const MmluSubject& subject : mmlu_subjects()) ++categories[subject.category];
  EXPECT_THAT(categories, ElementsAre(std::pair("STEM", 19), std::pair("humanities", 13), std::pair("other", 13),
                                      std::pair("social sciences", 12)));
  EXPECT_EQ(mmlu_subject("virology", "").category, "other");
  EXPECT_THAT(message([] { mmlu_subject("colege_physics", "subjects"); }),
              HasSubstr("subjects: the unknown subject \"colege_physics\""));
}

struct MmluFolder {
  TemporaryFolder folder;
  explicit MmluFolder(const std::string& test) {
    std::filesystem::create_directories(folder / "mmlu/test");
    std::filesystem::create_directories(folder / "mmlu/dev");
    write_text_file(folder / "mmlu/test/anatomy_test.csv", test);
    write_text_file(folder / "mmlu/dev/anatomy_dev.csv", "one,a,b,c,d,A\ntwo,a,b,c,d,B\n");
  }
  ChoiceSet read() const { return read_mmlu(folder.path(), {"anatomy"}); }
};

TEST(Mmlu, ReadsQuestionsAndExamples) {
  const ChoiceSet set = MmluFolder("\"which, one?\",1,2,3,4,C\n").read();
  ASSERT_EQ(set.questions.size(), 1u);
  EXPECT_EQ(set.questions[0].id, "anatomy/0");
  EXPECT_EQ(set.questions[0].question, "which, one?");
  EXPECT_THAT(set.questions[0].choices, ElementsAre("1", "2", "3", "4"));
  EXPECT_EQ(set.questions[0].answer, 2u);
  EXPECT_EQ(set.questions[0].category, "STEM");
  EXPECT_EQ(set.shots.size(), 2u);
}

TEST(Mmlu, ErrorsNameFileAndLine) {
  const auto of = [](const std::string& text) { return message([&] { MmluFolder(text).read(); }); };
  EXPECT_THAT(of("q,1,2,3,4,A\nq,1,2,3,A\n"), HasSubstr("anatomy_test.csv: line 2: 5 columns; expected 6"));
  EXPECT_THAT(of("\"q\nq\",1,2,3,4,A\nq,1,2,3,4,E\n"), HasSubstr("line 3: the answer \"E\"; expected A, B, C or D"));
  EXPECT_THAT(of(""), HasSubstr("no question"));
  EXPECT_THAT(message([] { read_mmlu(TemporaryFolder().path(), {"anatomy"}); }), HasSubstr("no such file"));
  EXPECT_THAT(message([] { read_mmlu("x", {"anatomy", "virology", "anatomy"}); }), HasSubstr("twice"));
}

TEST(Mmlu, AnotherSetNamesItsOwnSubjects) {
  TemporaryFolder folder;
  const auto put = [&](const char* name, const char* text) { write_text_file(folder / name, text); };
  std::filesystem::create_directories(folder / "mmlu/test");
  std::filesystem::create_directories(folder / "mmlu/dev");
  put("mmlu/subjects.csv", "sea_birds,nature\ntools,craft\n");
  put("mmlu/test/sea_birds_test.csv", "one,1,2,3,4,A\n");
  put("mmlu/dev/sea_birds_dev.csv", "two,1,2,3,4,B\n");
  put("mmlu/test/tools_test.csv", "three,1,2,3,4,C\n");
  put("mmlu/dev/tools_dev.csv", "four,1,2,3,4,D\n");
  const auto read = [&](const std::vector<std::string>& subjects) { return read_mmlu(folder.path(), subjects); };
  ASSERT_EQ(read({}).questions.size(), 2u);
  EXPECT_EQ(read({}).questions[0].id, "sea_birds/0");
  EXPECT_EQ(read({}).questions[0].category, "nature");
  ASSERT_EQ(read({"tools"}).questions.size(), 1u);
  EXPECT_EQ(read({"tools"}).questions[0].question, "three");
  EXPECT_THAT(message([&] { read({"anatomy"}); }), HasSubstr("unknown subject \"anatomy\"; expected one of sea_birds"));
  put("mmlu/subjects.csv", "../x,nature\n");
  EXPECT_THAT(message([&] { read({}); }), HasSubstr("subjects.csv: line 1: the subject \"../x\""));
  put("mmlu/subjects.csv", "tools,craft\ntools,craft\n");
  EXPECT_THAT(message([&] { read({}); }), HasSubstr("line 2: the subject \"tools\" a second time"));
}

TEST(Mmlu, ThePublishedFilesAreRead) {
  LCOMP_REQUIRE(data("mmlu/test"));
  const ChoiceSet set = read_mmlu(data(""), {});
  EXPECT_EQ(set.questions.size(), 14042u);
  EXPECT_EQ(set.shots.size(), 57u * 5u);
}

ChoiceSet arc(const std::string& lines) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "arc");
  write_text_file(folder / "arc/arc-easy.jsonl", lines);
  return read_arc(folder.path(), ArcLevel::easy);
}

TEST(Arc, CutsTheChoicesOutOfThePrompt) {
  const ChoiceSet set =
      arc(R"({"prompt": "Vitamin (A) is good. Why? (A)  red  (B) blue (C) green\nAnswer:", "answer": "C"})"
          "\n\n"
          R"({"prompt": "Which? (1) red (2) blue\nAnswer:", "answer": "2"})");
  ASSERT_EQ(set.questions.size(), 2u);
  EXPECT_EQ(set.questions[0].question, "Vitamin (A) is good. Why?");
  EXPECT_THAT(set.questions[0].choices, ElementsAre("red", "blue", "green"));
  EXPECT_EQ(set.questions[0].answer, 2u);
  EXPECT_THAT(set.questions[1].labels, ElementsAre("1", "2"));
  EXPECT_EQ(set.questions[1].answer, 1u);
  EXPECT_EQ(set.questions[1].id, "arc-easy/1");
}

TEST(Arc, ErrorsNameFileAndLine) {
  const auto of = [](const std::string& text) { return message([&] { arc(text); }); };
  EXPECT_THAT(of(R"({"prompt": "Which? (A) x (B) y\nAnswer:", "answer": "C"})"), HasSubstr("arc-easy.jsonl: line 1"));
  EXPECT_THAT(of(R"({"prompt": "Which? (A) x\nAnswer:", "answer": "A"})"), HasSubstr("1 choices"));
  EXPECT_THAT(of(R"({"prompt": "Which? (A) x (B) y", "answer": "A"})"), HasSubstr("Answer:"));
  EXPECT_THAT(of("\nnonsense"), HasSubstr("line 2"));
}

TEST(Arc, ThePublishedFilesAreRead) {
  LCOMP_REQUIRE(data("arc/arc-easy.jsonl"));
  EXPECT_EQ(read_arc(data(""), ArcLevel::easy).questions.size(), 2376u);
  EXPECT_EQ(read_arc(data(""), ArcLevel::challenge).questions.size(), 1172u);
}

ChoiceSet own(const std::string& lines) {
  const TemporaryFolder folder;
  write_text_file(folder / "own.jsonl", lines);
  return read_choices(folder / "own.jsonl", "");
}

TEST(OwnChoices, AnswersAreIndicesOrLetters) {
  const ChoiceSet set = own(R"({"question": "a?", "choices": ["x", "y"], "answer": 1, "subject": "s"})"
                            "\n"
                            R"({"question": "b?", "choices": ["x", "y", "z"], "answer": "A", "subject": "t"})"
                            "\n"
                            R"({"question": "c?", "choices": ["x", "y", "z"], "answer": "C", "subject": "s"})");
  ASSERT_EQ(set.questions.size(), 3u);
  EXPECT_EQ(set.questions[0].answer, 1u);
  EXPECT_EQ(set.questions[1].id, "s/2");  // subjects are brought together
  EXPECT_EQ(set.questions[1].answer, 2u);
  EXPECT_EQ(set.questions[2].answer, 0u);
}

TEST(OwnChoices, ErrorsNameFileAndLine) {
  const auto of = [](const std::string& line) { return message([&] { own(line); }); };
  const std::string where = "own.jsonl: line 1.";
  EXPECT_THAT(of(R"({"question": "a?", "choices": ["x", "y"], "answer": 2})"), HasSubstr(where + "answer"));
  EXPECT_THAT(of(R"({"question": "a?", "choices": ["x", "y"], "answer": "C"})"), HasSubstr(where + "answer"));
  EXPECT_THAT(of(R"({"question": "a?", "choices": ["x"], "answer": 0})"), HasSubstr(where + "choices: 1 choices"));
  EXPECT_THAT(of(R"({"question": "a?", "choices": ["x", 3], "answer": 0})"), HasSubstr(where + "choices"));
  EXPECT_THAT(of(R"({"question": "a?", "choices": ["x", "y"], "answer": 0, "topic": "t"})"), HasSubstr("topic"));
}

std::vector<ChoiceQuestion> numbered(const std::vector<std::pair<std::string, int>>& subjects) {
  std::vector<ChoiceQuestion> questions;
  for (const auto& [subject, count] : subjects) {
    for (int i = 0; i < count; ++i) {
      ChoiceQuestion question;
      question.id = subject + "/" + std::to_string(i);
      question.subject = subject;
      questions.push_back(question);
    }
  }
  return questions;
}

// 10 of 50 + 30 + 19 + 1 questions: 5, 3, 1.9 and 0.1, so that the third has the one that is left.
TEST(StratifiedSample, TakesEachSubjectsShare) {
  const auto questions = numbered({{"a", 50}, {"b", 30}, {"c", 19}, {"d", 1}});
  const auto ids = [&](std::size_t limit, std::uint64_t seed) {
    std::vector<std::string> names;
    for (const auto& question : stratified_sample(questions, limit, seed)) names.push_back(question.id);
    return names;
  };
  const auto sample = ids(10, 1);
  std::map<char, int> counts;
  for (const auto& id : sample) ++counts[id[0]];
  EXPECT_THAT(counts, ElementsAre(std::pair('a', 5), std::pair('b', 3), std::pair('c', 2)));
  EXPECT_EQ(std::set(sample.begin(), sample.end()).size(), 10u);
  EXPECT_EQ(ids(10, 1), sample);
  EXPECT_NE(ids(10, 2), sample);
  EXPECT_EQ(ids(1000, 1).size(), 100u);
}

}  // namespace
}  // namespace lcomp
