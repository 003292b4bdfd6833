#include "quantizers/grain.h"

namespace lcomp {

std::string name(const Grain& grain) {
  switch (grain.kind) {
    case Grain::Kind::group:
      return std::to_string(grain.group_size);
    case Grain::Kind::channel:
      return "channel";
    case Grain::Kind::tensor:
      return "tensor";
  }
  return "";
}

}  // namespace lcomp
