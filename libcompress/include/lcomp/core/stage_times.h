#pragma once

#include <map>
#include <string>

namespace lcomp {

struct StageTime {
  double seconds = 0;
  double cpu_seconds = 0;  // of all threads
};

// Where a process's time goes: seconds of named stages by the clock and of its processors, for reports. A stage lasts
// as long as a StageTimer of it lives; one that begins within another interrupts it, so that seconds add up. Timers of
// other threads than the one that created the first are ignored: parallel loops are part of the stage that runs them.
// About a microsecond each.
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
  StageTime since_;
  bool counts_ = false;
};

// Of all timers so far that have ended.
std::map<std::string, StageTime> stage_times();

}  // namespace lcomp
