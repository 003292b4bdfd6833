#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lcomp/io/data_type.h"

namespace lcomp {

// One array of a stored weight. In a file it is the tensor NAME + suffix.
struct PartDeclaration {
  std::string suffix;  // ".codes", ".scales", ...; empty for the only part of a dense weight
  DataType type = DataType::u8;
  std::vector<std::size_t> shape;
  std::size_t bytes = 0;  // what the shape takes
};

struct WeightPart : PartDeclaration {
  std::span<const std::uint8_t> data;  // `bytes` bytes, owned by a weight or by a mapped file
};

// A declaration with its bytes counted. Throws Error naming `where` + suffix where the size overflows.
PartDeclaration declare_part(std::string suffix, DataType type, std::vector<std::size_t> shape,
                             const std::string& where);

}  // namespace lcomp
