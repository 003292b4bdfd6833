#include "commands/compute_option.h"

#include "lcomp/forward/compute_type.h"

namespace lcomp {

void add_compute_option(CLI::App& command, ComputeType& compute) {
  command
      .add_option_function<std::string>(
          "--compute", [&compute](const std::string& value) { compute = compute_type_from_name(value); },
          "products of the matrix multiplications; bfloat16 needs a CPU with AMX or AVX512-BF16 (default: float32)")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
}

}  // namespace lcomp
