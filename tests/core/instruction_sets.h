#pragma once

#include <hwy/highway.h>

#include <cstdint>
#include <vector>

namespace lcomp::testing {

// Calls body(name) once for each instruction set that this machine has and Highway compiles for, with all dispatch
// going to it.
template <typename Body>
void for_each_instruction_set(const Body& body) {
  const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  for (const std::int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace lcomp::testing
