#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace lcomp {

// What a progress callback is told. The library never prints; the program draws a bar or writes lines.
struct ProgressEvent {
  std::string label;
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  double elapsed_seconds = 0;
  std::optional<double> remaining_seconds;  // absent until there is something to extrapolate from
};

// May throw Interrupted to stop the work at the next step.
using ProgressCallback = std::function<void(const ProgressEvent&)>;

// Counts the steps of one piece of work and reports each to the callback (none: counts silently). Not for use from
// several threads at once. The remaining time is elapsed * (total - done) / done.
class Progress {
 public:
  Progress(ProgressCallback callback, std::string label, std::uint64_t total);
  void advance(std::uint64_t steps = 1);

 private:
  void report();

  ProgressCallback callback_;
  ProgressEvent event_;
  std::chrono::steady_clock::time_point start_;
};

// "3 s", "4 min 05 s", "2 h 07 min".
std::string format_duration(double seconds);

}  // namespace lcomp
