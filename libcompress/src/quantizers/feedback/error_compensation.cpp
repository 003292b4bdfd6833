#include "lcomp/quantizers/feedback/error_compensation.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"

namespace lcomp {

void check_damping(const Damping& options, const std::string& where) {
  if (options.damping >= 0 && options.damping <= 1) return;
  throw Error({where, fmt::format("damping {:g}", options.damping), "0 to 1", ""});
}

void check_compensation(const ErrorCompensation& options, const std::string& where) {
  if (options.block_size == 0) throw Error({where, "blocks of 0 columns", "at least 1", ""});
  check_damping(options, where);
}

void check_feedback(const FeedbackSetting& setting, const std::string& where) {
  check_compensation(setting, where);
  if (setting.enabled) return;
  const FeedbackSetting defaults;
  if (setting.act_order || setting.static_groups || setting.block_size != defaults.block_size) {
    throw Error({where, "act_order, static_groups or block_size without feedback", "feedback as well", ""});
  }
}

}  // namespace lcomp
