#include "lcomp/core/stage_times.h"

#include <gtest/gtest.h>

#include <chrono>
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
  auto seconds = stage_seconds();
  EXPECT_GE(seconds["outer"], 0.02);
  EXPECT_GE(seconds["inner"], 0.03);
  EXPECT_LE(seconds["outer"] + seconds["inner"], all);
  EXPECT_GE(seconds["outer"] + seconds["inner"], all - 0.005);
  EXPECT_FALSE(stage_seconds().contains("elsewhere"));
}

}  // namespace
}  // namespace lcomp
