#include "runner/compute_option.h"

#include "lcomp/core/error.h"

namespace lcomp {

ComputeType compute_type_from_name(const std::string& name) {
  if (name == "float32") return ComputeType::float32;
  if (name == "bfloat16") return ComputeType::bfloat16;
  throw Error({"compute", "\"" + name + "\"", "float32 or bfloat16", ""});
}

std::string name(ComputeType compute) {
  switch (compute) {
    case ComputeType::float32:
      return "float32";
    case ComputeType::bfloat16:
      return "bfloat16";
  }
  return {};
}

void add_compute_option(CLI::App& command, ComputeType& compute) {
  command
      .add_option_function<std::string>(
          "--compute", [&compute](const std::string& value) { compute = compute_type_from_name(value); },
          "products of the matrix multiplications; bfloat16 needs a CPU with AMX or AVX512-BF16 (default: float32)")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
}

}  // namespace lcomp
