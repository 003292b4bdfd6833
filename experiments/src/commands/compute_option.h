#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "lcomp/forward/decoder.h"

namespace lcomp {

// --compute float32|bfloat16: which products the matrix multiplications use.
void add_compute_option(CLI::App& command, ComputeType& compute);

}  // namespace lcomp
