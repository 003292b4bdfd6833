#include "lcomp/formats/weight_part.h"

#include "lcomp/core/sizes.h"

namespace lcomp {

PartDeclaration declare_part(std::string suffix, DataType type, std::vector<std::size_t> shape,
                             const std::string& where) {
  std::size_t bytes = bytes_per_element(type);
  for (const std::size_t n : shape) bytes = checked_multiply(bytes, n, where + suffix);
  return {std::move(suffix), type, std::move(shape), bytes};
}

}  // namespace lcomp
