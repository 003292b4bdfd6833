#include "commands/command_context.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "commands/interrupt_signal.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr double kBarInterval = 0.1;    // seconds between two drawings on a terminal
constexpr double kLineInterval = 15.0;  // seconds between two lines otherwise

// Draws events of one label after another; the state says what is on the screen.
class ProgressDisplay {
 public:
  void show(const ProgressEvent& event) {
    // Work that begins anew may have the label of what came before.
    if (event.label != label_ || event.elapsed_seconds < last_event_) {
      label_ = event.label;
      last_drawn_ = -1e9;
    }
    last_event_ = event.elapsed_seconds;
    const bool finished = event.done == event.total;
    const double interval = terminal_ ? kBarInterval : kLineInterval;
    if (event.elapsed_seconds - last_drawn_ < interval && !(finished && terminal_)) return;
    if (!terminal_ && event.done == 0) {  // the first line comes after the interval, short work is silent
      last_drawn_ = event.elapsed_seconds;
      return;
    }
    last_drawn_ = event.elapsed_seconds;
    if (terminal_) {
      draw_bar(event, finished);
    } else {
      fmt::print(stderr, "{}: {} of {}{}\n", event.label, event.done, event.total, remaining(event));
    }
  }

 private:
  static std::string remaining(const ProgressEvent& event) {
    if (!event.remaining_seconds || event.done == event.total) return "";
    return fmt::format(", {} left", format_duration(*event.remaining_seconds));
  }

  static void draw_bar(const ProgressEvent& event, bool finished) {
    constexpr std::size_t kWidth = 24;
    const auto filled = event.total == 0 ? kWidth : static_cast<std::size_t>(event.done * kWidth / event.total);
    if (finished) {
      fmt::print(stderr, "\r\x1b[K");
    } else {
      fmt::print(stderr, "\r\x1b[K{} [{:#<{}}{:.<{}}] {}/{}{}", event.label, "", filled, "", kWidth - filled,
                 event.done, event.total, remaining(event));
    }
    std::fflush(stderr);
  }

  bool terminal_ = isatty(STDERR_FILENO) != 0;
  std::string label_;
  double last_drawn_ = -1e9, last_event_ = 0;
};

}  // namespace

ProgressCallback CommandContext::progress() const {
  const auto display = quiet ? nullptr : std::make_shared<ProgressDisplay>();
  return [display](const ProgressEvent& event) {
    if (interrupt_requested()) throw Interrupted();
    if (display) display->show(event);
  };
}

void CommandContext::print(const nlohmann::json& object, const std::string& text) const {
  const std::string out = json ? object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n" : text;
  if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size()) {
    throw system_error("standard output", "write", errno);
  }
}

Command& add_command(CommandLine& line, CommandContext& context, std::string name, std::string description,
                     std::vector<std::string> examples) {
  Command& command = line.add_command(std::move(name), std::move(description), std::move(examples));
  command.flag("--json", context.json, "print one JSON object on stdout (keys: docs/cli.md)").common();
  command.flag("--quiet", context.quiet, "show no progress").common();
  command.option("--threads N", context.threads, "threads to use").between(1, 1024).default_is("all cores").common();
  return command;
}

}  // namespace lcomp
