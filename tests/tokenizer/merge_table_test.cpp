#include "tokenizer/merge_table.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/vocabulary.h"
#include "tokenizer/word_cache.h"

namespace lcomp {
namespace {

using Ids = std::vector<TokenId>;

// Byte pair encoding as it is defined, one merge at a time, without any of the library's code.
Ids merged_by_definition(const std::map<std::pair<TokenId, TokenId>, MergeTable::Merge>& merges, Ids symbols) {
  for (;;) {
    std::optional<std::size_t> best;
    std::uint32_t best_rank = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = merges.find({symbols[i], symbols[i + 1]});
      if (found != merges.end() && (!best || found->second.rank < best_rank)) {
        best = i;
        best_rank = found->second.rank;
      }
    }
    if (!best) return symbols;
    symbols[*best] = merges.at({symbols[*best], symbols[*best + 1]}).merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(*best + 1));
  }
}

TEST(MergeTable, FindsWhatWasSet) {
  MergeTable table;
  for (TokenId i = 0; i < 1000; ++i) table.set(i, 2 * i, {static_cast<std::uint32_t>(i), i + 1});
  table.set(3, 6, {77, 78});
  EXPECT_EQ(table.size(), 1000u);
  EXPECT_EQ(table.find(3, 6)->merged, 78);
  EXPECT_EQ(table.find(999, 1998)->rank, 999u);
  EXPECT_EQ(table.find(6, 3), nullptr);
  std::size_t count = 0;
  table.for_each([&](TokenId left, TokenId right, MergeTable::Merge) {
    EXPECT_EQ(right, 2 * left);
    ++count;
  });
  EXPECT_EQ(count, 1000u);
}

// Merges 0 0 -> 1 (rank 0), 1 1 -> 2 (rank 1): 0 0 0 0 0 -> 1 1 0 -> 2 0, the leftmost pair first.
TEST(MergeSymbols, LeftmostOfEqualRankFirst) {
  MergeTable table;
  table.set(0, 0, {0, 1});
  table.set(1, 1, {1, 2});
  MergeScratch scratch;
  Ids symbols(5, 0);
  merge_symbols(table, symbols, scratch);
  EXPECT_EQ(symbols, (Ids{2, 0}));
  Ids none;
  merge_symbols(table, none, scratch);
  EXPECT_TRUE(none.empty());
}

// Covers the short and the long algorithm (more than 48 symbols). Equal ranks occur, as in SentencePiece models.
RC_GTEST_PROP(MergeSymbols, AgreesWithTheDefinition, ()) {
  const auto alphabet = *rc::gen::inRange<TokenId>(1, 5);
  MergeTable table;
  std::map<std::pair<TokenId, TokenId>, MergeTable::Merge> merges;
  TokenId next = alphabet;
  for (auto count = *rc::gen::inRange(0, 30); count > 0; --count) {
    const auto left = *rc::gen::inRange<TokenId>(0, next), right = *rc::gen::inRange<TokenId>(0, next);
    const MergeTable::Merge merge{*rc::gen::inRange<std::uint32_t>(0, 20), next++};
    table.set(left, right, merge);
    merges[{left, right}] = merge;
  }
  const auto size = *rc::gen::inRange<std::size_t>(0, 200);
  Ids symbols = *rc::gen::container<Ids>(size, rc::gen::inRange<TokenId>(0, alphabet));
  const Ids expected = merged_by_definition(merges, symbols);
  MergeScratch scratch;
  merge_symbols(table, symbols, scratch);
  RC_ASSERT(symbols == expected);
}

TEST(WordCache, FindsWhatWasInsertedAndStaysBounded) {
  WordCache cache;
  EXPECT_FALSE(cache.find("a").has_value());
  for (TokenId i = 0; i < 200'000; ++i) {
    const std::string word = "word" + std::to_string(i);
    const Ids ids = {i, i + 1};
    cache.insert(word, ids);
    const auto found = cache.find(word);
    ASSERT_TRUE(found.has_value());
    ASSERT_EQ(Ids(found->begin(), found->end()), ids);
  }
  EXPECT_FALSE(cache.find("word0").has_value());  // it started anew since
  cache.insert("", Ids{});
  EXPECT_TRUE(cache.find("").has_value());
}

TEST(Vocabulary, FindsBothWays) {
  Vocabulary vocabulary("test");
  vocabulary.add("b", 7);
  vocabulary.add("", 0);
  vocabulary.finish();
  EXPECT_EQ(vocabulary.find("b"), 7);
  EXPECT_EQ(vocabulary.find(""), 0);
  EXPECT_FALSE(vocabulary.find("c").has_value());
  EXPECT_EQ(vocabulary.token(7), "b");
  EXPECT_FALSE(vocabulary.token(3).has_value());
  EXPECT_FALSE(vocabulary.token(-1).has_value());
  EXPECT_FALSE(vocabulary.token(8).has_value());
  EXPECT_EQ(vocabulary.id_limit(), 8u);
}

}  // namespace
}  // namespace lcomp
