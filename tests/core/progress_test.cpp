#include "lcomp/core/progress.h"

#include <gtest/gtest.h>

#include <vector>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

TEST(Progress, ReportsStartAndEveryStep) {
  std::vector<ProgressEvent> events;
  Progress progress([&](const ProgressEvent& event) { events.push_back(event); }, "layers", 4);
  progress.advance();
  progress.advance(2);
  progress.advance(5);  // more than there is
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].label, "layers");
  EXPECT_EQ(events[0].done, 0u);
  EXPECT_EQ(events[0].total, 4u);
  EXPECT_FALSE(events[0].remaining_seconds.has_value());
  EXPECT_EQ(events[1].done, 1u);
  EXPECT_EQ(events[2].done, 3u);
  EXPECT_EQ(events[3].done, 4u);
  EXPECT_DOUBLE_EQ(events[3].remaining_seconds.value(), 0);
}

TEST(Progress, RemainingTimeIsExtrapolated) {
  std::vector<ProgressEvent> events;
  Progress progress([&](const ProgressEvent& event) { events.push_back(event); }, "x", 10);
  for (int i = 0; i < 10; ++i) progress.advance();
  for (const ProgressEvent& event : events) {
    if (event.done == 0) continue;
    const double left = static_cast<double>(event.total - event.done) / static_cast<double>(event.done);
    EXPECT_DOUBLE_EQ(event.remaining_seconds.value(), event.elapsed_seconds * left);
  }
  for (std::size_t i = 1; i < events.size(); ++i) EXPECT_GE(events[i].elapsed_seconds, events[i - 1].elapsed_seconds);
}

TEST(Progress, WithoutCallbackOrStepsDoesNothing) {
  Progress silent(nullptr, "x", 3);
  silent.advance();
  int calls = 0;
  Progress none([&](const ProgressEvent&) { ++calls; }, "x", 0);
  none.advance();
  EXPECT_EQ(calls, 2);
}

TEST(Progress, CallbackStopsTheWork) {
  Progress progress(
      [](const ProgressEvent& event) {
        if (event.done == 2) throw Interrupted();
      },
      "x", 3);
  progress.advance();
  EXPECT_THROW(progress.advance(), Interrupted);
}

TEST(FormatDuration, ChoosesTheUnit) {
  EXPECT_EQ(format_duration(-1), "0 s");
  EXPECT_EQ(format_duration(0.4), "0 s");
  EXPECT_EQ(format_duration(3), "3 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(245), "4 min 05 s");
  EXPECT_EQ(format_duration(3599.6), "1 h 00 min");
  EXPECT_EQ(format_duration(7620), "2 h 07 min");
  EXPECT_EQ(format_duration(360'000), "100 h 00 min");
}

}  // namespace
}  // namespace lcomp
