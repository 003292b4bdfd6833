#include "lcomp/forward/compute_type.h"

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

}  // namespace lcomp
