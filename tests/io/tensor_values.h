#pragma once

#include <string>
#include <vector>

#include "lcomp/io/safetensors.h"

namespace lcomp::testing {

inline std::vector<float> floats_of(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry& entry = file.entry(name);
  std::vector<float> values(entry.bytes.size() / bytes_per_element(entry.type));
  to_float(entry, 0, values);
  return values;
}

}  // namespace lcomp::testing
