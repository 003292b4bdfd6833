#include "quantizers/feedback/feedback_setting.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"

namespace lcomp {

void check_feedback(const FeedbackSetting& setting, const std::string& where) {
  if (!(setting.damping >= 0 && setting.damping <= 1)) {
    throw Error({where, fmt::format("damping {}", setting.damping), "0 to 1", ""});
  }
  if (setting.block_size == 0) throw Error({where, "blocks of 0 columns", "at least 1", ""});
  if (setting.enabled) return;
  const FeedbackSetting defaults;
  if (setting.act_order || setting.static_groups || setting.block_size != defaults.block_size) {
    throw Error({where, "act_order, static_groups or block_size without feedback", "feedback as well", ""});
  }
}

}  // namespace lcomp
