#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/formats/model_size.h"
#include "lcomp/models/model_components.h"

namespace lcomp {

// One component of a compressed model.
struct ComponentReport {
  std::string name;
  ComponentKind kind = ComponentKind::linear;
  std::string quantizer;  // "rtn:bits=4,group=64,asym"
  std::string format;     // describe() of formats/format.h
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  double relative_error = 0;  // sum (w - w^)^2 / sum w^2; w with the scales that were folded
  double bits_slope = 0;      // rate-coded of chosen precision: d bits / d precision, about; else 0
  std::vector<std::string> warnings;
};

// What a compression made.
struct CompressionReport {
  std::vector<ComponentReport> components;  // in the order of the forward pass
  std::uint64_t kept_parameters = 0;        // norms, biases
  std::uint64_t kept_bytes = 0;
  std::uint64_t activation_bytes = 0;  // of the grids that inputs are rounded to
  std::uint64_t parameters = 0;        // ModelSize, of the data of model.safetensors
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  double ratio = 0;

  void set_size(const ModelSize& size);
};
nlohmann::json to_json(const CompressionReport& report);
// The inverse, but for bits_slope. Throws Error naming `where` for anything else.
CompressionReport compression_report_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace lcomp
