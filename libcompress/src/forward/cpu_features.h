#pragma once

namespace lcomp {

// Whether this machine multiplies bfloat16 in hardware (AVX512-BF16 or AMX-BF16, and an operating system that saves the
// registers).
bool bfloat16_supported();

}  // namespace lcomp
