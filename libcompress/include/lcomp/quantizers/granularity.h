#pragma once

#include <cstddef>
#include <string>

namespace lcomp {

// Which weights share a scale.
struct Granularity {
  enum class Kind { group, channel, tensor } kind = Kind::group;
  std::size_t group_size = 64;  // columns, for groups; rows of fewer columns are one group

  bool operator==(const Granularity&) const = default;
};
std::string name(const Granularity& granularity);  // "64", "channel", "tensor"

}  // namespace lcomp
