#include "lcomp/quantizers/granularity.h"

namespace lcomp {

std::string name(const Granularity& granularity) {
  switch (granularity.kind) {
    case Granularity::Kind::group:
      return std::to_string(granularity.group_size);
    case Granularity::Kind::channel:
      return "channel";
    case Granularity::Kind::tensor:
      return "tensor";
  }
  return "";
}

}  // namespace lcomp
