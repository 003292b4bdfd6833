#include "lcomp/core/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace lcomp {

Progress::Progress(ProgressCallback callback, std::string label, std::uint64_t total)
    : callback_(std::move(callback)), start_(std::chrono::steady_clock::now()) {
  event_.label = std::move(label);
  event_.total = total;
  report();
}

void Progress::advance(std::uint64_t steps) {
  event_.done = std::min(event_.done + steps, event_.total);
  report();
}

void Progress::report() {
  if (!callback_) return;
  event_.elapsed_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (event_.done > 0) {
    event_.remaining_seconds =
        event_.elapsed_seconds * static_cast<double>(event_.total - event_.done) / static_cast<double>(event_.done);
  }
  callback_(event_);
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace lcomp
