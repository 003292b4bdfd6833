#include "lcomp/core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "lcomp/core/rng.h"

namespace lcomp {
namespace {

// Sets the number of threads for a scope.
class Threads {
 public:
  explicit Threads(std::size_t count) : before_(thread_count()) { set_thread_count(count); }
  ~Threads() { set_thread_count(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  std::size_t before_;
};

class Parallel : public ::testing::TestWithParam<std::size_t> {
 protected:
  const Threads threads_{GetParam()};
};

TEST_P(Parallel, VisitsEveryIndexOnce) {
  EXPECT_EQ(thread_count(), GetParam());
  for (const std::size_t grain : {std::size_t{1}, std::size_t{3}, std::size_t{1000}}) {
    std::vector<std::atomic<int>> visits(101);
    parallel_for(
        1, visits.size(), [&](std::size_t i) { ++visits[i]; }, grain);
    EXPECT_EQ(visits[0], 0);
    for (std::size_t i = 1; i < visits.size(); ++i) EXPECT_EQ(visits[i], 1) << i;
  }
}

TEST_P(Parallel, EmptyRangesDoNothing) {
  parallel_for(5, 5, [](std::size_t) { FAIL(); });
  parallel_for(6, 5, [](std::size_t) { FAIL(); });
  parallel_chunks(7, 7, 3, [](std::size_t, std::size_t) { FAIL(); });
}

TEST_P(Parallel, ChunksAreTheSameForAnyThreadCount) {
  std::mutex mutex;
  std::set<std::pair<std::size_t, std::size_t>> chunks;
  parallel_chunks(10, 25, 4, [&](std::size_t first, std::size_t last) {
    const std::lock_guard lock(mutex);
    chunks.emplace(first, last);
  });
  EXPECT_EQ(chunks, (std::set<std::pair<std::size_t, std::size_t>>{{10, 14}, {14, 18}, {18, 22}, {22, 25}}));
}

// A sum formed per chunk and joined in order does not depend on the number of threads, to the bit.
TEST_P(Parallel, SumsPerChunkAreTheSameForAnyThreadCount) {
  Rng rng(1);
  std::vector<float> values(10'000);
  for (float& value : values) value = static_cast<float>(rng.normal());
  const auto sum = [&values] {
    constexpr std::size_t kGrain = 37;
    std::vector<float> partial((values.size() + kGrain - 1) / kGrain);
    parallel_chunks(0, values.size(), kGrain, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) partial[first / kGrain] += values[i];
    });
    float total = 0;
    for (const float part : partial) total += part;
    return total;
  };
  const float here = sum();
  const Threads one(1);
  EXPECT_EQ(here, sum());
}

TEST_P(Parallel, ThrowsWhatABodyThrew) {
  std::atomic<int> finished = 0;
  try {
    parallel_for(0, 1000, [&](std::size_t i) {
      if (i == 500) throw std::runtime_error("at 500");
      ++finished;
    });
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "at 500");
  }
  EXPECT_LT(finished, 1000);
  parallel_for(0, 10, [&](std::size_t) {});  // works again
}

TEST_P(Parallel, LoopsInsideLoopsAreSerialAndComplete) {
  std::atomic<int> visits = 0;
  std::atomic<int> thrown = 0;
  parallel_for(0, 8, [&](std::size_t) {
    std::size_t next = 0;
    parallel_for(0, 10, [&](std::size_t i) {
      EXPECT_EQ(i, next++);  // in order, hence on this thread
      ++visits;
    });
    try {
      parallel_for(0, 2, [](std::size_t) { throw std::runtime_error("inner"); });
    } catch (const std::runtime_error&) {
      ++thrown;
    }
  });
  EXPECT_EQ(visits, 80);
  EXPECT_EQ(thrown, 8);
}

INSTANTIATE_TEST_SUITE_P(Threads, Parallel, ::testing::Values(1, 2, 5));

}  // namespace
}  // namespace lcomp
