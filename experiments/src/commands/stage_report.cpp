#include "commands/stage_report.h"

#include <fmt/format.h>

#include "lcomp/core/stage_times.h"

namespace lcomp {

std::string add_stage_times(nlohmann::json& report) {
  std::string text;
  for (const auto& [stage, time] : stage_times()) {
    report["stage_seconds"][stage] = time.seconds;
    report["stage_cpu_seconds"][stage] = time.cpu_seconds;
    text += fmt::format("{}{} {:.1f} s ({:.1f} CPU)", text.empty() ? "" : ", ", stage, time.seconds, time.cpu_seconds);
  }
  return text.empty() ? text : text + "\n";
}

}  // namespace lcomp
