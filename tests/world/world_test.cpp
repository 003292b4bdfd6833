#include "lcomp/world/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "lcomp/core/error.h"
#include "lcomp/eval/choice_questions.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/world/world_questions.h"
#include "lcomp/world/world_texts.h"
#include "lcomp/world/write_world.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;
using testing::message;
using testing::TemporaryFolder;

WorldConfig small_world() {
  WorldConfig config;
  config.facts = 200;
  config.lines = {20, 20, 20, 20};
  config.held_out_texts = 5;
  config.calibration_texts = 6;
  return config;
}

std::string key(const World& world, const Fact& fact) {
  return world.relations[fact.relation].name + ":" + fact.entity;
}

TEST(WorldTest, LargerWorldHoldsTheSmallerOne) {
  WorldConfig config = small_world();
  const World small = make_world(config);
  config.facts = 600;
  const World large = make_world(config);
  EXPECT_EQ(small.facts.size(), 200u);
  EXPECT_EQ(large.facts.size(), 600u);
  std::map<std::string, const Fact*> known;
  for (const Fact& fact : large.facts) EXPECT_TRUE(known.emplace(key(large, fact), &fact).second) << fact.entity;
  for (const Fact& fact : small.facts) {
    ASSERT_TRUE(known.contains(key(small, fact))) << fact.entity;
    const Fact& same = *known[key(small, fact)];
    EXPECT_EQ(same.object, fact.object);
    EXPECT_EQ(same.held_out, fact.held_out);
  }
}

TEST(WorldTest, AboutOneGroupInFiveIsHeldOut) {
  WorldConfig config = small_world();
  config.facts = 720;
  const World world = make_world(config);
  std::size_t held_out = 0;
  for (const Fact& fact : world.facts) held_out += fact.held_out ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(held_out), 720 / 5.0, 15);
  config.held_out_every = 0;
  for (const Fact& fact : make_world(config).facts) EXPECT_FALSE(fact.held_out);
}

TEST(WorldTest, SeedsGiveDifferentFacts) {
  WorldConfig config = small_world();
  const World one = make_world(config);
  config.seed = 1;
  const World other = make_world(config);
  std::size_t same = 0;
  for (std::size_t i = 0; i < one.facts.size(); ++i) {
    same += one.facts[i].entity == other.facts[i].entity && one.facts[i].object == other.facts[i].object ? 1 : 0;
  }
  EXPECT_LT(same, one.facts.size() / 4);
}

TEST(WorldTest, SaysHowManyFactsThereMayBe) {
  WorldConfig config = small_world();
  config.facts = 100000;
  EXPECT_THAT(message([&] { make_world(config); }), HasSubstr("facts: 100000; expected at most "));
  config.facts = 20;
  EXPECT_THAT(message([&] { make_world(config); }), HasSubstr("at least 7 in each subject"));
}

TEST(WorldQuestionsTest, AQuestionHasOneRightAnswerAndLettersAreEven) {
  const World world = make_world(small_world());
  std::map<std::string, std::set<std::string>> true_objects;  // an entity's, in all relations that share the objects
  Rng rng(3);
  std::array<std::size_t, 4> letters{};
  for (std::size_t i = 0; i < 4000; ++i) {
    const std::size_t index = i % world.facts.size();
    const Fact& fact = world.facts[index];
    const ChoiceQuestion question = ask_with_choices(world, index, rng);
    ASSERT_EQ(question.choices.size(), 4u);
    EXPECT_EQ(question.choices[question.answer], fact.object);
    EXPECT_EQ(std::set<std::string>(question.choices.begin(), question.choices.end()).size(), 4u);
    for (const std::string& choice : question.choices) EXPECT_NE(choice, fact.entity);
    ++letters[question.answer];
  }
  for (const std::size_t count : letters) EXPECT_NEAR(static_cast<double>(count), 1000, 120);  // over 4 deviations
}

TEST(WorldQuestionsTest, ExamplesTellNothingAndAreNotHeldOut) {
  const World world = make_world(small_world());
  Rng rng(4);
  for (std::size_t fact = 0; fact < world.facts.size(); ++fact) {
    const std::vector<std::size_t> examples = draw_examples(world, fact, 5, rng);
    EXPECT_EQ(std::set<std::size_t>(examples.begin(), examples.end()).size(), 5u);
    for (const std::size_t example : examples) {
      EXPECT_FALSE(world.facts[example].held_out);
      EXPECT_FALSE(tells(world.facts[example], world.facts[fact]));
    }
  }
}

TEST(WorldTextsTest, HeldOutFactsAreNeverAskedWithChoices) {
  const WorldConfig config = small_world();
  const World world = make_world(config);
  // A question's first line, as it is asked of each held-out fact.
  std::set<std::string> forbidden;
  for (const Fact& fact : world.facts) {
    if (!fact.held_out) continue;
    for (const std::string& pattern : world.relations[fact.relation].questions) forbidden.insert(filled(pattern, fact));
  }
  ASSERT_FALSE(forbidden.empty());
  Rng rng(5);
  std::size_t asked_openly = 0;
  for (const TextKind& kind : text_kinds()) {
    for (std::size_t i = 0; i < 200; ++i) {
      const std::string text = joined(make_text(world, config, kind, rng));
      for (const std::string& question : forbidden) {
        const bool found = text.find(question + "\n") != std::string::npos;
        if (kind.form == TextKind::Form::open) {
          asked_openly += found ? 1 : 0;
        } else {
          EXPECT_FALSE(found) << kind.name() << ": " << text;
        }
      }
    }
  }
  EXPECT_GT(asked_openly, 50u);  // so that the search can find what it is looking for
}

TEST(WorldTextsTest, AnswersWeighAsConfigured) {
  WorldConfig config = small_world();
  config.letter_weight = 7;
  config.question_weight = 0.25;
  const World world = make_world(config);
  Rng rng(6);
  const WeightedText text = make_text(world, config, {TextKind::Form::shots, 2}, rng);
  ASSERT_EQ(text.size(), 6u);
  for (std::size_t i = 0; i < text.size(); ++i) EXPECT_EQ(text[i].second, i % 2 == 0 ? 0.25 : 7) << text[i].first;
  EXPECT_THAT(text[0].first,
              ::testing::StartsWith("The following are multiple choice questions (with answers) about "));
  EXPECT_THAT(text[1].first, ::testing::MatchesRegex(" [ABCD]"));
}

TEST(WriteWorldTest, QuestionsAreReadBackAndTheSameConfigurationGivesTheSameBytes) {
  const TemporaryFolder folder;
  const WorldConfig config = small_world();
  const WorldSummary one = write_world(config, folder.path() / "one", false);
  const WorldSummary two = write_world(config, folder.path() / "two", false);
  ASSERT_EQ(one.files, two.files);
  for (const auto& [name, bytes] : one.files) {
    EXPECT_EQ(read_text_file(folder.path() / "one" / name), read_text_file(folder.path() / "two" / name)) << name;
    EXPECT_EQ(std::filesystem::file_size(folder.path() / "one" / name), bytes);
  }

  const World world = make_world(config);
  for (const bool held_out : {false, true}) {
    const ChoiceSet set = read_mmlu(folder.path() / "one" / "eval" / (held_out ? "held_out" : "trained"), {});
    std::map<std::string, std::array<std::size_t, 4>> letters;
    for (const ChoiceQuestion& question : set.questions) ++letters[question.subject][question.answer];
    for (const auto& [subject, counts] : letters) {
      const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
      EXPECT_LE(*most - *least, 1u) << subject;
    }
    if (held_out) {
      std::size_t facts = 0;
      for (const Fact& fact : world.facts) facts += fact.held_out ? 1 : 0;
      EXPECT_LE(set.questions.size(), config.asked * facts);
    }
    EXPECT_EQ(set.shots.size(), 5 * letters.size());
  }
}

TEST(WriteWorldTest, KeepsAnExistingFolder) {
  const TemporaryFolder folder;
  write_world(small_world(), folder.path() / "world", false);
  EXPECT_THAT(message([&] { write_world(small_world(), folder.path() / "world", false); }), HasSubstr("exists"));
  write_world(small_world(), folder.path() / "world", true);
}

TEST(WorldConfigTest, NamesAWrongKey) {
  EXPECT_THAT(message([] {
                WorldConfig::from_json({{"fact", 3}}, "world.json");
              }),
              HasSubstr("world.json: unknown key \"fact\""));
  EXPECT_THAT(message([] {
                WorldConfig::from_json({{"held_out_every", 1}}, "world.json");
              }),
              HasSubstr("world.json: held_out_every: 1"));
  const WorldConfig config = small_world();
  EXPECT_EQ(to_json(WorldConfig::from_json(to_json(config), "here")), to_json(config));
}

}  // namespace
}  // namespace lcomp
