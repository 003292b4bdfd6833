#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "lcomp/forward/decoder.h"

namespace lcomp {

// --compute float32|bfloat16: which products the matrix multiplications use.
void add_compute_option(CLI::App& command, ComputeType& compute);
ComputeType compute_type_from_name(const std::string& name);  // throws Error for an unknown name
std::string name(ComputeType compute);

}  // namespace lcomp
