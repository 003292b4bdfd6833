#include <gtest/gtest.h>

#include <algorithm>

#include "lcomp/eval/choice_scores.h"
#include "lcomp/eval/text_scores.h"
#include "lcomp/io/config_reader.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::data;
using testing::golden;
using testing::smollm2;

// The first windows of the stored protocols; PyTorch's float32 NLL of a window of 511 tokens is reproduced to about
// 1e-5.
TEST(SlowSmollm2Perplexity, MatchesStoredWindows) {
  LCOMP_REQUIRE(smollm2());
  LCOMP_REQUIRE(golden("smollm2/reference.json"));
  LCOMP_REQUIRE(data("wikitext2/wiki.test.raw"));
  const auto reference = parse_json_file(golden("smollm2/reference.json"));
  const auto tokenizer = load_tokenizer(smollm2());
  Decoder decoder(open_model(smollm2()));
  const auto check = [&](TextProtocol protocol, const nlohmann::json& expected) {
    const ScoringBatch batch = make_scoring_batch(protocol, *tokenizer, data("").string());
    const TextScores scores = score_texts(decoder, batch, {}, {});
    ASSERT_EQ(scores.perplexity.sequence_nll.size(), *protocol.sequences);
    for (std::size_t s = 0; s < *protocol.sequences; ++s) {
      EXPECT_NEAR(scores.perplexity.sequence_nll[s], expected.at(s).get<double>(), 5e-5)
          << batch.description << " " << s;
    }
  };
  TextProtocol wikitext;
  wikitext.sequences = 4;
  check(wikitext, reference.at("wikitext2_window512").at("nll_per_window"));
  TextProtocol c4;
  c4.kind = TextProtocol::Kind::c4;
  c4.window = 1024;
  c4.first_scored = 512;
  c4.sequences = 2;
  check(c4, reference.at("c4_picollm").at("nll_per_text"));
}

// The first three questions of some subjects, whose logits PyTorch computed in float32. The closest two labels of all
// 171 stored questions differ by 0.0036, so that predictions agree.
TEST(SlowSmollm2Choices, MmluMatchesStoredLogits) {
  LCOMP_REQUIRE(smollm2());
  LCOMP_REQUIRE(golden("smollm2/reference.json"));
  LCOMP_REQUIRE(data("mmlu/test"));
  const auto stored = parse_json_file(golden("smollm2/reference.json")).at("mmlu").at("questions");
  const auto tokenizer = load_tokenizer(smollm2());
  Decoder decoder(open_model(smollm2()));
  ChoiceProtocol protocol;
  protocol.subjects = {"abstract_algebra", "anatomy", "high_school_mathematics", "moral_scenarios", "virology"};
  ChoiceTask task = make_choice_task(protocol, *tokenizer, decoder.config().max_positions, data("").string());
  std::vector<PreparedQuestion> questions;
  std::vector<nlohmann::json> expected;
  for (const auto& entry : stored) {
    const std::string subject = entry.at("subject");
    if (std::count(protocol.subjects.begin(), protocol.subjects.end(), subject) == 0) continue;
    const auto number = std::count_if(questions.begin(), questions.end(),
                                      [&](const PreparedQuestion& q) { return q.question.subject == subject; });
    for (const PreparedQuestion& question : task.questions) {
      if (question.question.id == subject + "/" + std::to_string(number)) questions.push_back(question);
    }
    expected.push_back(entry);
  }
  ASSERT_EQ(questions.size(), 15u);
  task.questions = questions;
  task.groups = {0, 4, questions.size()};  // a subject on both sides of the cut
  const auto answers = answer_choices(decoder, task);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(questions[i].prompts.at(0).ids.size(), expected[i].at("tokens").get<std::size_t>()) << answers[i].id;
    for (std::size_t c = 0; c < 4; ++c) {
      EXPECT_NEAR(answers[i].scores.at(c), expected[i].at("logits").at(c).get<double>(), 1e-2) << answers[i].id;
    }
    EXPECT_EQ(answers[i].prediction, expected[i].at("pred").get<std::size_t>()) << answers[i].id;
    EXPECT_EQ(answers[i].answer, expected[i].at("answer").get<std::size_t>()) << answers[i].id;
  }
}

// The first questions in the file, by the likelihood of the choices' texts.
TEST(SlowSmollm2Choices, ArcClozeMatchesStoredLikelihoods) {
  LCOMP_REQUIRE(smollm2());
  LCOMP_REQUIRE(golden("smollm2/reference.json"));
  LCOMP_REQUIRE(data("arc/arc-easy.jsonl"));
  const auto stored = parse_json_file(golden("smollm2/reference.json")).at("arc_easy_cloze").at("questions");
  const auto tokenizer = load_tokenizer(smollm2());
  Decoder decoder(open_model(smollm2()));
  ChoiceProtocol protocol;
  protocol.task = ChoiceProtocol::Task::arc_easy;
  protocol.prompt = ChoiceProtocol::Prompt::cloze;
  protocol.shots = 0;
  ChoiceTask task = make_choice_task(protocol, *tokenizer, decoder.config().max_positions, data("").string());
  task.questions.resize(40);
  task.groups = {0, task.questions.size()};
  const auto answers = answer_choices(decoder, task);
  using Normalization = ChoiceProtocol::Normalization;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto& expected = stored.at(i);
    EXPECT_EQ(answers[i].tokens, expected.at("tokens").get<std::vector<std::size_t>>()) << i;
    EXPECT_EQ(answers[i].bytes, expected.at("bytes").get<std::vector<std::size_t>>()) << i;
    for (std::size_t c = 0; c < answers[i].scores.size(); ++c) {
      EXPECT_NEAR(answers[i].scores[c], expected.at("ll").at(c).get<double>(), 1e-2) << i;
    }
    EXPECT_EQ(predict(answers[i], Normalization::token), expected.at("pred_token").get<std::size_t>()) << i;
    EXPECT_EQ(predict(answers[i], Normalization::byte), expected.at("pred_byte").get<std::size_t>()) << i;
    EXPECT_EQ(predict(answers[i], Normalization::none), expected.at("pred_sum").get<std::size_t>()) << i;
    EXPECT_EQ(answers[i].answer, expected.at("answer").get<std::size_t>()) << i;
  }
}

}  // namespace
}  // namespace lcomp
