// Questions through a small model: sharing, labels of several tokens, the context's end, answers on disk.
#include "lcomp/eval/choice_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "byte_tokenizer.h"
#include "lcomp/core/error.h"
#include "lcomp/eval/answer_comparison.h"
#include "lcomp/eval/answer_file.h"
#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::ByteTokenizer;
using testing::golden;
using ::testing::HasSubstr;
using testing::message;
using testing::TemporaryFolder;

// Ids of the small models' 151 tokens: a byte is one token, and so is a blank with the capital letter that follows.
class LetterTokenizer : public ByteTokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, bool) const override {
    std::vector<TokenId> ids;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == ' ' && i + 1 < text.size() && text[i + 1] >= 'A' && text[i + 1] <= 'Z') {
        ids.push_back(100 + text[++i] - 'A');
      } else {
        ids.push_back(static_cast<unsigned char>(text[i]) % 100);
      }
    }
    return ids;
  }
};

// The same without tokens for " A".
class SmallByteTokenizer : public ByteTokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, bool) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) % 151);
    return ids;
  }
};

struct ChoiceScores : ::testing::Test {
  TemporaryFolder folder;

  ChoiceProtocol protocol(const nlohmann::json& more) {
    std::string lines, shots;
    for (int i = 0; i < 12; ++i) {
      const nlohmann::json question = {{"question", "What is " + std::to_string(i * 37 % 11) + "?"},
                                       {"choices", {"one thing", "another", "a third thing"}},
                                       {"answer", i % 3},
                                       {"subject", i < 7 ? "first" : "second"}};
      lines += question.dump() + "\n";
      if (i % 6 > 3) shots += question.dump() + "\n";
    }
    write_text_file(folder / "own.jsonl", lines);
    write_text_file(folder / "shots.jsonl", shots);
    nlohmann::json json = {{"file", (folder / "own.jsonl").string()},
                           {"shots_file", (folder / "shots.jsonl").string()}};
    json.update(more);
    ConfigReader reader(json, "test");
    ChoiceProtocol result = ChoiceProtocol::from_config(ChoiceProtocol::Task::choices, reader);
    reader.finish();
    return result;
  }
};

void expect_near(const std::vector<ChoiceAnswer>& a, const std::vector<ChoiceAnswer>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].id, b[i].id);
    ASSERT_EQ(a[i].scores.size(), b[i].scores.size());
    for (std::size_t c = 0; c < a[i].scores.size(); ++c) EXPECT_NEAR(a[i].scores[c], b[i].scores[c], tolerance);
  }
}

TEST_F(ChoiceScores, SharingChangesRoundingAtMost) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  for (const auto& more : {nlohmann::json{{"shots", 2}}, nlohmann::json{{"prompt", "cloze"}},
                           nlohmann::json{{"prompt", "cloze"}, {"shots", 2}}}) {
    const ChoiceTask task = make_choice_task(protocol(more), LetterTokenizer(), 0, "");
    ChoiceScoreOptions options;
    const auto shared = answer_choices(decoder, task, options);
    options.share = false;
    expect_near(shared, answer_choices(decoder, task, options), 2e-4);
    const std::size_t all = task.questions.size();
    EXPECT_LT(pack_prompts(task, 0, all, decoder.config(), true).batch.tokens() * 3,
              pack_prompts(task, 0, all, decoder.config(), false).batch.tokens() * 2);
  }
}

// Labels of one token give the logits of one position; the same model's log-likelihoods differ from them by a constant.
TEST_F(ChoiceScores, ScoresAreThoseOfTheWholePrompt) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  const ChoiceTask task = make_choice_task(protocol({{"shots", 2}}), LetterTokenizer(), 0, "");
  const auto answers = answer_choices(decoder, task);
  const ChoicePrompt& prompt = task.questions[8].prompts.at(0);
  TokenBatch batch;
  batch.add(prompt.ids);
  const Matrix normed = decoder.forward(batch);
  Matrix logits(1, decoder.config().vocab_size);
  decoder.logits(normed.view().rows_range(normed.rows() - 1, 1), logits.view());
  for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(answers[8].scores.at(c), logits(0, 100 + c), 2e-4);
}

TEST_F(ChoiceScores, LabelsOfSeveralTokensAreContinuations) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  const ChoiceTask task = make_choice_task(protocol(nlohmann::json::object()), SmallByteTokenizer(), 0, "");
  ASSERT_EQ(task.questions[0].prompts.size(), 3u);
  EXPECT_EQ(task.questions[0].prompts[1].targets, (std::vector<TokenId>{' ', 'B'}));
  EXPECT_EQ(task.questions[0].prompts[1].ids.back(), ' ');
  const auto answers = answer_choices(decoder, task);
  for (const double score : answers[0].scores) EXPECT_LT(score, 0);
}

TEST_F(ChoiceScores, QuestionsLongerThanTheContextAreCountedNotCut) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  const LetterTokenizer tokenizer;
  const ChoiceTask all = make_choice_task(protocol(nlohmann::json::object()), tokenizer, 0, "");
  const std::size_t longest = all.questions[4].tokens();  // "What is 5?" is as long as the others but those with 10
  const ChoiceTask task = make_choice_task(protocol(nlohmann::json::object()), tokenizer, longest, "");
  const ChoiceSummary summary = summarize(answer_choices(decoder, task));
  EXPECT_GT(summary.too_long, 0u);
  EXPECT_EQ(summary.too_long + summary.micro.questions, 12u);
  EXPECT_NE(task.key, all.key);
}

TEST_F(ChoiceScores, AnInterruptedRunGivesTheSameFile) {
  LCOMP_REQUIRE(golden("families/llama2"));
  Decoder decoder(open_model(golden("families/llama2")));
  ChoiceTask task = make_choice_task(protocol({{"prompt", "cloze"}}), LetterTokenizer(), 0, "");
  task.groups = {0, 5, 9, 12};
  const nlohmann::json header = {{"key", task.key}, {"model", "x"}};
  std::vector<ChoiceAnswer> expected;
  {
    AnswerLog log(folder / "whole.jsonl", header);
    expected = answer_choices(decoder, task, log, ChoiceScoreOptions());
    EXPECT_THAT(message([&] { AnswerLog second(folder / "whole.jsonl", header); }), HasSubstr("another run"));
  }
  const std::string whole = read_text_file(folder / "whole.jsonl");
  for (const std::size_t bytes : {whole.size(), whole.size() - 5, whole.size() * 3 / 4, whole.size() / 2,
                                  whole.size() / 4, std::size_t{10}, std::size_t{0}}) {
    write_text_file(folder / "cut.jsonl", whole.substr(0, bytes));
    {
      AnswerLog log(folder / "cut.jsonl", header);
      expect_near(answer_choices(decoder, task, log, ChoiceScoreOptions()), expected, 0);
    }
    EXPECT_EQ(read_text_file(folder / "cut.jsonl"), whole) << bytes;
  }
  EXPECT_EQ(read_answer_file(folder / "whole.jsonl").answers.size(), 12u);
  EXPECT_THAT(message([&] {
                AnswerLog(folder / "whole.jsonl", {{"key", task.key}, {"model", "y"}});
              }),
              HasSubstr("answers of another run: \"model\": \"x\""));
  write_text_file(folder / "broken.jsonl", header.dump() + "\n{\"id\": 3}\n");
  EXPECT_THAT(message([&] { AnswerLog(folder / "broken.jsonl", header); }), HasSubstr("broken.jsonl: line 2"));
  write_text_file(folder / "cut.jsonl", whole.substr(0, whole.size() - 5));
  EXPECT_THAT(message([&] { read_answer_file(folder / "cut.jsonl"); }), HasSubstr("line 13: a line that is cut off"));
}

TEST(ChoicePrompts, HaveThePublishedForm) {
  ChoiceQuestion shot;
  shot.subject = "abstract_algebra";
  shot.question = "Two?";
  shot.choices = {"1", "2", "3", "4"};
  shot.labels = {"A", "B", "C", "D"};
  shot.answer = 1;
  ChoiceQuestion question = shot;
  question.question = "Three?";
  ChoiceQuestion other = shot;
  other.subject = "anatomy";
  const ChoiceSet set = {{question}, {other, shot, shot}};
  ChoiceProtocol protocol;
  protocol.shots = 1;
  EXPECT_EQ(choice_context(protocol, set, question),
            "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
            "Two?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: B\n\nThree?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:");
  protocol.prompt = ChoiceProtocol::Prompt::cloze;
  EXPECT_EQ(choice_context(protocol, set, question), "Question: Two?\nAnswer: 2\n\nQuestion: Three?\nAnswer:");
}

TEST(ChoiceAnswers, SummaryByHand) {
  const auto answer = [](const char* subject, std::size_t right, std::vector<double> scores) {
    ChoiceAnswer a;
    a.subject = subject;
    a.category = "c";
    a.answer = right;
    a.scores = std::move(scores);
    a.prediction = predict(a, ChoiceProtocol::Normalization::byte);
    return a;
  };
  std::vector<ChoiceAnswer> answers = {answer("a", 0, {2, 1}), answer("a", 1, {2, 1}), answer("a", 0, {1, 1}),
                                       answer("b", 1, {0, 1})};
  answers.emplace_back().too_long = true;
  const ChoiceSummary summary = summarize(answers);
  EXPECT_EQ(summary.too_long, 1u);
  EXPECT_DOUBLE_EQ(summary.micro.value(), 3.0 / 4);
  EXPECT_DOUBLE_EQ(summary.micro.standard_error(), std::sqrt(0.75 * 0.25 / 4));
  EXPECT_DOUBLE_EQ(summary.macro, (2.0 / 3 + 1) / 2);
  EXPECT_DOUBLE_EQ(summary.macro_standard_error, std::sqrt(2.0 / 9 / 3) / 2);
  EXPECT_EQ(summary.categories.at("c").questions, 4u);
}

TEST(ChoiceAnswers, NormalizationDecidesBetweenShortAndLong) {
  ChoiceAnswer answer;
  answer.scores = {-4, -6, -9};
  answer.tokens = {1, 2, 2};
  answer.bytes = {4, 5, 20};
  EXPECT_EQ(predict(answer, ChoiceProtocol::Normalization::none), 0u);
  EXPECT_EQ(predict(answer, ChoiceProtocol::Normalization::token), 1u);
  EXPECT_EQ(predict(answer, ChoiceProtocol::Normalization::byte), 2u);
}

// (1, 9): 2 (1 + 10) / 2^10; (5, 5): capped at 1; (0, 5): 2 / 32. A thousand against two: no underflow to nonsense.
TEST(Mcnemar, ExactValues) {
  EXPECT_NEAR(mcnemar_exact(1, 9), 22.0 / 1024, 1e-12);
  EXPECT_NEAR(mcnemar_exact(9, 1), 22.0 / 1024, 1e-12);
  EXPECT_EQ(mcnemar_exact(5, 5), 1);
  EXPECT_NEAR(mcnemar_exact(0, 5), 1.0 / 16, 1e-12);
  EXPECT_EQ(mcnemar_exact(0, 0), 1);
  EXPECT_LT(mcnemar_exact(2, 1000), 1e-290);
}

TEST(CompareAnswers, CountsFlipsAndRefusesOtherPrompts) {
  const auto file = [](const char* key, std::vector<std::size_t> predictions) {
    AnswerFile result{{{"key", key}, {"protocol", "p"}}, {}};
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      ChoiceAnswer answer;
      answer.id = std::to_string(i);
      answer.prediction = predictions[i];
      result.answers.push_back(answer);
    }
    return result;
  };
  const AnswerComparison comparison = compare_answers(file("k", {0, 0, 1, 1, 2}), file("k", {0, 1, 0, 1, 3}));
  EXPECT_EQ(comparison.flips, 3u);
  EXPECT_EQ(comparison.first_only, 1u);
  EXPECT_EQ(comparison.second_only, 1u);
  EXPECT_EQ(comparison.both_wrong, 2u);
  EXPECT_THAT(message([&] { compare_answers(file("k", {0}), file("l", {0})); }), HasSubstr("\"k\" and \"l\""));
  EXPECT_THAT(message([&] { compare_answers(file("k", {0}), file("k", {0, 0})); }), HasSubstr("1 and 2 answers"));
}

}  // namespace
}  // namespace lcomp
