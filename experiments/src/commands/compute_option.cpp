#include "commands/compute_option.h"

#include "lcomp/forward/compute_type.h"

namespace lcomp {

void add_compute_option(Command& command, ComputeType& compute) {
  command.choice(
      "--compute", compute,
      {{name(ComputeType::float32), ComputeType::float32}, {name(ComputeType::bfloat16), ComputeType::bfloat16}},
      "products of the matrix multiplications; bfloat16 needs a CPU with AMX or AVX512-BF16");
}

}  // namespace lcomp
