#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

namespace lcomp::testing {

// Calls check() once for each instruction set that Highway can choose on this machine, with that one chosen.
template <typename Check>
void for_each_instruction_set(const Check& check) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    check();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace lcomp::testing
