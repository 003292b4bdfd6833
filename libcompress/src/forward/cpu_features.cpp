#include "forward/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lcomp {

bool bfloat16_supported() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(1, 0, &a, &b, &c, &d) == 0 || (c & (1u << 27)) == 0) return false;  // OSXSAVE
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const bool avx512_state = (low & 0xe6u) == 0xe6u;
  const bool amx_state = (low & 0x60000u) == 0x60000u;
  if (!avx512_state) return false;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 5)) != 0) return true;      // AVX512-BF16
  return amx_state && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & (1u << 22)) != 0;  // AMX-BF16
#else
  return false;
#endif
}

}  // namespace lcomp
