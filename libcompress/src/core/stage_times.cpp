#include "lcomp/core/stage_times.h"

#include <ctime>
#include <thread>

namespace lcomp {
namespace {

struct Times {
  std::thread::id thread = std::this_thread::get_id();  // of the first timer
  StageTimer* current = nullptr;
  std::map<std::string, StageTime> stages;
};

Times& times() {
  static Times of_process;
  return of_process;
}

double seconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

StageTime now() { return {seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)}; }

}  // namespace

StageTimer::StageTimer(const char* stage) : stage_(stage) {
  Times& t = times();
  counts_ = t.thread == std::this_thread::get_id();
  if (!counts_) return;
  outer_ = t.current;
  if (outer_ != nullptr) outer_->pause();
  t.current = this;
  go_on();
}

StageTimer::~StageTimer() {
  if (!counts_) return;
  pause();
  times().current = outer_;
  if (outer_ != nullptr) outer_->go_on();
}

void StageTimer::pause() {
  const StageTime until = now();
  StageTime& stage = times().stages[stage_];
  stage.seconds += until.seconds - since_.seconds;
  stage.cpu_seconds += until.cpu_seconds - since_.cpu_seconds;
}
void StageTimer::go_on() { since_ = now(); }

std::map<std::string, StageTime> stage_times() { return times().stages; }

}  // namespace lcomp
