#pragma once

#include <map>
#include <string>

namespace lcomp {

// Where a process's time goes: seconds of named stages, for reports. A stage lasts as long as a StageTimer of it lives;
// one that begins within another interrupts it, so that seconds add up. Timers of other threads than the one that
// created the first are ignored: parallel loops are part of the stage that runs them. A few dozen nanoseconds each.
class StageTimer {
 public:
  explicit StageTimer(const char* stage);  // a string literal
  ~StageTimer();
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  void pause();
  void go_on();

  const char* stage_;
  StageTimer* outer_ = nullptr;
  double since_ = 0;
  bool counts_ = false;
};

// Of all timers so far that have ended.
std::map<std::string, double> stage_seconds();

}  // namespace lcomp
