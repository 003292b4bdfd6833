#include "training/window_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "lcomp/core/error.h"
#include "small_texts.h"

namespace lcomp {
namespace {

using ::testing::ThrowsMessage;

// Text i is `length(i)` times the i-th letter.
class WindowStreamTest : public ::testing::Test {
 protected:
  TrainingTexts texts(const std::vector<std::size_t>& lengths, char first = 'a') {
    std::vector<nlohmann::json> lines;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      lines.push_back({{"text", std::string(lengths[i], static_cast<char>(first + static_cast<char>(i)))}});
    }
    testing::write_lines(folder_ / "texts.jsonl", lines);
    return TrainingTexts::read(folder_ / "texts.jsonl", *testing::character_tokenizer(), std::nullopt);
  }
  testing::TemporaryFolder folder_;
};

const std::vector<double> one = {1.0};

TEST_F(WindowStreamTest, TextsThatFitAreWholeAndEachComesOnceAPass) {
  const TrainingTexts source = texts({5, 3, 7, 2, 6, 4, 3, 8});  // 38 tokens
  WindowStream stream({&source}, 8, false, Rng(1));
  std::map<std::int32_t, std::size_t> seen;
  for (int i = 0; i < 50; ++i) {
    const TrainingBatch batch = stream.next(2, one);
    EXPECT_LE(batch.tokens.tokens(), 16U);
    double weight = 0;
    for (std::size_t s = 0; s < batch.tokens.sequences(); ++s) {
      const auto ids = batch.tokens.sequence(s);
      const std::set<std::int32_t> letters(ids.begin(), ids.end());
      ASSERT_EQ(letters.size(), 1U);
      EXPECT_EQ(ids.size(), source.length(static_cast<std::size_t>(ids[0] - 66)));
      ++seen[ids[0]];
      weight += static_cast<double>(ids.size()) - 1;
    }
    EXPECT_EQ(batch.total_weight, weight);
  }
  const auto [least, most] = std::ranges::minmax_element(seen, {}, [](const auto& entry) { return entry.second; });
  // Those that wait were taken, but not seen: 32 texts are four passes.
  EXPECT_LE(most->second - least->second, 5U);
}

TEST_F(WindowStreamTest, LittleRoomIsLeft) {
  const TrainingTexts source = texts({5, 3, 7, 2, 6, 4, 3, 8, 5, 5, 4});
  WindowStream stream({&source}, 16, false, Rng(1));
  std::size_t tokens = 0;
  for (int i = 0; i < 20; ++i) tokens += stream.next(4, one).tokens.tokens();
  EXPECT_GE(tokens, 20U * 4 * 15);
}

TEST_F(WindowStreamTest, LongTextsAreCutIntoWindows) {
  const TrainingTexts source = texts({20});
  WindowStream stream({&source}, 8, false, Rng(1));
  std::multiset<std::size_t> lengths;
  const TrainingBatch batch = stream.next(30, one);
  for (std::size_t s = 0; s < batch.tokens.sequences(); ++s) lengths.insert(batch.tokens.sequence(s).size());
  EXPECT_EQ(lengths.count(8) + lengths.count(4), lengths.size());  // 8 + 8 + 4
  EXPECT_GT(lengths.count(4), 0U);
}

TEST_F(WindowStreamTest, JoinedTextsAreOneSequenceAndBeginUnpredicted) {
  const TrainingTexts source = texts({4, 4, 4, 4});
  WindowStream stream({&source}, 8, true, Rng(1));
  const TrainingBatch batch = stream.next(3, one);
  ASSERT_EQ(batch.tokens.sequences(), 3U);
  EXPECT_EQ(batch.tokens.tokens(), 24U);
  for (std::size_t t = 0; t < 24; ++t) EXPECT_EQ(batch.weights[t], t % 4 == 3 ? 0.0F : 1.0F);
}

TEST_F(WindowStreamTest, TokensAreSharedOutAsAskedFor) {
  const TrainingTexts a = texts({8, 8, 8}, 'a'), b = texts({4, 4, 4, 4}, 'k');
  WindowStream stream({&a, &b}, 8, false, Rng(1));
  std::size_t of_a = 0, all = 0;
  const auto count = [&](const std::vector<double>& shares) {
    of_a = all = 0;
    for (int i = 0; i < 200; ++i) {
      for (const std::int32_t id : stream.next(2, shares).tokens.ids) {
        of_a += id < 76 ? 1 : 0;
        ++all;
      }
    }
    return static_cast<double>(of_a) / static_cast<double>(all);
  };
  EXPECT_NEAR(count({3, 1}), 0.75, 0.05);
  EXPECT_NEAR(count({0, 1}), 0.0, 0.1);  // those that waited are still there
  EXPECT_EQ(count({0, 1}), 0.0);
}

TEST_F(WindowStreamTest, GoesOnFromAPosition) {
  const TrainingTexts a = texts({5, 3, 7, 2, 6, 20}, 'a'), b = texts({4, 4, 5, 4}, 'k');
  WindowStream stream({&a, &b}, 8, false, Rng(3));
  const std::vector<double> shares = {1, 0.37};
  for (int i = 0; i < 7; ++i) stream.next(3, shares);
  // As it is kept: as text.
  const nlohmann::json position = nlohmann::json::parse(stream.position().dump());
  WindowStream other({&a, &b}, 8, false, Rng(3));
  other.restore(position, "checkpoint");
  for (int i = 0; i < 20; ++i) {
    const TrainingBatch expected = stream.next(3, shares), got = other.next(3, shares);
    EXPECT_EQ(got.tokens.ids, expected.tokens.ids);
    EXPECT_EQ(got.tokens.offsets, expected.tokens.offsets);
  }
  WindowStream single({&a}, 8, false, Rng(3));
  EXPECT_THAT([&] { single.restore(position, "checkpoint"); },
              ThrowsMessage<Error>(::testing::HasSubstr("checkpoint")));
  nlohmann::json wrong = position;
  wrong["waiting"][0][1] = 1000;
  EXPECT_THROW(other.restore(wrong, "checkpoint"), Error);
}

TEST_F(WindowStreamTest, HeldOutWindowsAreTheFirst) {
  const TrainingTexts source = texts({5, 3, 7, 2, 6});
  const TrainingBatch batch = first_windows(source, 8, false, 2);  // 5 + 3, 7
  EXPECT_EQ(batch.tokens.sequences(), 3U);
  EXPECT_EQ(batch.total_weight, 4 + 2 + 6);
  const TrainingBatch joined = first_windows(source, 8, true, 100);
  EXPECT_EQ(joined.tokens.sequences(), 3U);  // 2 + 6 are the third
  EXPECT_EQ(joined.tokens.tokens(), 23U);
}

}  // namespace
}  // namespace lcomp
