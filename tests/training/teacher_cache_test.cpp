#include "training/teacher_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

// Three positions: two tokens, none, one.
TopTokens small_tokens() {
  TopTokens tokens;
  tokens.offsets = {0, 2, 2, 3};
  tokens.ids = {7, 3, 5};
  tokens.log_probabilities = {-0.5F, -1.5F, -0.25F};
  return tokens;
}

struct TeacherCacheTest : ::testing::Test {
  testing::TemporaryFolder folder;
  fs::path file = folder / "sub" / "teacher.cache";
};

TEST_F(TeacherCacheTest, GivesBackWhatWasWritten) {
  {
    TeacherCache cache(file, "key");
    cache.write(1, small_tokens(), 0, 3);
    cache.write(2, small_tokens(), 2, 3);
  }
  const TeacherCache cache(file, "key");
  EXPECT_EQ(cache.records(), 2U);
  EXPECT_FALSE(cache.contains(3));
  TopTokens tokens;
  cache.read(2, tokens);
  cache.read(1, tokens);
  EXPECT_THAT(tokens.offsets, ElementsAre(0, 1, 3, 3, 4));
  EXPECT_THAT(tokens.ids, ElementsAre(5, 7, 3, 5));
  EXPECT_THAT(tokens.log_probabilities, ElementsAre(FloatEq(-0.25F), FloatEq(-0.5F), FloatEq(-1.5F), FloatEq(-0.25F)));
}

TEST_F(TeacherCacheTest, CutsOffWhatAKilledProcessLeft) {
  std::uint64_t size = 0;
  {
    TeacherCache cache(file, "key");
    cache.write(1, small_tokens(), 0, 3);
    size = fs::file_size(file);
    cache.write(2, small_tokens(), 0, 3);
  }
  const std::uint64_t whole = fs::file_size(file);
  for (const std::uint64_t left : {size + 1, size + 20, size + 30, whole - 1}) {
    fs::resize_file(file, left);
    TeacherCache cache(file, "key");
    EXPECT_EQ(cache.records(), 1U) << left;
    EXPECT_EQ(fs::file_size(file), size);
    cache.write(2, small_tokens(), 0, 3);
    EXPECT_EQ(fs::file_size(file), whole);
  }
  // A changed byte of the last record.
  std::string bytes = read_text_file(file);
  bytes[whole - 2] = static_cast<char>(bytes[whole - 2] ^ 1);
  write_text_file(file, bytes);
  const TeacherCache cache(file, "key");
  EXPECT_TRUE(cache.contains(1));
  EXPECT_FALSE(cache.contains(2));
}

TEST_F(TeacherCacheTest, RefusesOtherFiles) {
  { const TeacherCache cache(file, "one teacher"); }
  EXPECT_THAT(testing::message([&] { TeacherCache(file, "two teachers"); }), HasSubstr("another teacher"));
  write_text_file(file, "something else");
  EXPECT_THAT(testing::message([&] { TeacherCache(file, "key"); }), HasSubstr("no cache"));
  EXPECT_THAT(testing::message([&] { TeacherCache(folder.path(), "key"); }), HasSubstr("opening"));
}

TEST_F(TeacherCacheTest, DamageWhileItIsOpenIsFound) {
  TeacherCache cache(file, "key");
  cache.write(1, small_tokens(), 0, 3);
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(-1, std::ios::end).put('x');
  TopTokens tokens;
  EXPECT_THAT(testing::message([&] { cache.read(1, tokens); }), HasSubstr("damaged"));
}

TEST_F(TeacherCacheTest, KeysTellTokensAndWhatCounts) {
  const std::vector<std::int32_t> a = {1, 2}, b = {2, 1};
  const std::vector<float> both = {1, 2}, one = {1, 0}, half = {0.5F, 0.5F};
  EXPECT_NE(TeacherCache::record_key(a, both), TeacherCache::record_key(b, both));
  EXPECT_NE(TeacherCache::record_key(a, both), TeacherCache::record_key(a, one));
  EXPECT_EQ(TeacherCache::record_key(a, both), TeacherCache::record_key(a, half));
}

}  // namespace
}  // namespace lcomp
