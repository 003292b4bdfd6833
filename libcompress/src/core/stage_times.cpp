#include "lcomp/core/stage_times.h"

#include <chrono>
#include <thread>

namespace lcomp {
namespace {

struct Times {
  std::thread::id thread = std::this_thread::get_id();  // of the first timer
  StageTimer* current = nullptr;
  std::map<std::string, double> seconds;
};

Times& times() {
  static Times of_process;
  return of_process;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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

void StageTimer::pause() { times().seconds[stage_] += now() - since_; }
void StageTimer::go_on() { since_ = now(); }

std::map<std::string, double> stage_seconds() { return times().seconds; }

}  // namespace lcomp
