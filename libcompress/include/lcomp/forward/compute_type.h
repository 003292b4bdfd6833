#pragma once

#include <string>

#include "lcomp/forward/decoder.h"

namespace lcomp {

std::string name(ComputeType compute);                        // "float32", "bfloat16"
ComputeType compute_type_from_name(const std::string& name);  // throws Error for an unknown name

}  // namespace lcomp
