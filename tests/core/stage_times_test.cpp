#include "lcomp/core/stage_times.h"

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <thread>

namespace lcomp {
namespace {

void wait(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

TEST(StageTimer, AnInnerStageInterruptsTheOuterOne) {
  const StageTimer first("first");  // this thread's count
  const auto begin = std::chrono::steady_clock::now();
  {
    const StageTimer outer("outer");
    wait(20);
    {
      const StageTimer inner("inner");
      wait(30);
    }
    std::thread([] {
      const StageTimer elsewhere("elsewhere");
      wait(1);
    }).join();
  }
  const double all = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  auto stages = stage_times();
  EXPECT_GE(stages["outer"].seconds, 0.02);
  EXPECT_GE(stages["inner"].seconds, 0.03);
  EXPECT_LE(stages["outer"].seconds + stages["inner"].seconds, all);
  EXPECT_GE(stages["outer"].seconds + stages["inner"].seconds, all - 0.005);
  EXPECT_LE(stages["outer"].cpu_seconds + stages["inner"].cpu_seconds, 0.02);  // they waited
  EXPECT_FALSE(stage_times().contains("elsewhere"));
}

TEST(StageTimer, CountsProcessorTimeOfAllThreads) {
  const StageTimer first("first");
  const auto work = [] {
    const std::clock_t begin = std::clock();
    while (std::clock() - begin < CLOCKS_PER_SEC / 50) {
    }
  };
  {
    const StageTimer stage("busy");
    std::thread(work).join();
  }
  EXPECT_GE(stage_times()["busy"].cpu_seconds, 0.02);
}

}  // namespace
}  // namespace lcomp
