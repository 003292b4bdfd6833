#pragma once

#include "commands/command_line.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// --compute float32|bfloat16: which products the matrix multiplications use.
void add_compute_option(Command& command, ComputeType& compute);

}  // namespace lcomp
