#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace lcomp {

// How the inputs of a model's linear layers are rounded to 8-bit integers when it runs, so that the layers multiply
// integers by integers (kernels/integer_matmul.h). Part of a compressed model, beside its weights.
//   code = clamp(round(x / scale) + zero_point, lowest, 255),   x^ = scale * (code - zero_point)
// in float32, ties to even. Zero is always exact.
//   symmetric:  zero_point = 128, lowest = 1: integers -127 .. 127, scale = max |x| / 127
//   asymmetric: lowest = 0, scale = (max x - min x) / 255, zero_point = round(-min x / scale), where the range is
//               widened to include 0

enum class ActivationGranularity {
  token,   // a scale (and zero point) for each token, from the values at hand
  tensor,  // one for a layer, fixed beforehand
};

// Where the range comes from. Granularity `token` is always dynamic, `tensor` never: a range over the tokens that
// happen to be computed together would make a token's result depend on its neighbours.
enum class ActivationRange {
  dynamic,     // the values at hand
  minmax,      // the least and greatest value in calibration
  percentile,  // the range that holds this share of the values in calibration
  mse,         // the range with the least squared error in calibration
};

std::string_view name(ActivationGranularity granularity);  // "token", "tensor"
std::string_view name(ActivationRange range);              // "dynamic", "minmax", "percentile", "mse"

struct ActivationSetting {
  ActivationGranularity granularity = ActivationGranularity::token;
  bool symmetric = true;
  ActivationRange range = ActivationRange::dynamic;
  double percentile = 99.99;  // in percent, range `percentile` only
  bool head = false;          // the output head too; all linear layers of the blocks always, routers never

  bool is_static() const { return range != ActivationRange::dynamic; }
  bool operator==(const ActivationSetting&) const = default;
};

//   {"bits": 8, "granularity": "tensor", "symmetric": true, "range": "percentile", "percentile": 99.99, "head": false}
// All keys but bits may be left out: granularity "token"; range "dynamic" for token and "minmax" for tensor; symmetric
// true; percentile 99.99; head false. Strict: throws Error naming the key's path under `where` for unknown keys, other
// bits, and combinations that make no sense.
ActivationSetting activation_setting_from_json(const nlohmann::json& json, const std::string& where);
nlohmann::json to_json(const ActivationSetting& setting);
// For people: "int8 per token", "int8 per tensor, asymmetric, 99.99th percentile".
std::string describe(const ActivationSetting& setting);

// The integers that one layer's input is rounded to, where they are fixed.
struct InputGrid {
  float scale = 1;  // > 0, finite
  std::uint8_t zero_point = 128;

  bool operator==(const InputGrid&) const = default;
};

inline constexpr std::size_t input_grid_bytes = 5;  // stored

// The grid for values in [low, high], as said above; 1 is the scale where that would be 0. low and high are finite,
// low <= high.
InputGrid input_grid(float low, float high, bool symmetric);

// Throws Error naming `where` for a scale that is not positive and finite, and another zero point than 128 where
// `symmetric`.
void check_input_grid(const InputGrid& grid, bool symmetric, const std::string& where);

struct ActivationQuantization {
  ActivationSetting setting;
  std::map<std::string, InputGrid, std::less<>> inputs;  // by the name of the weight's tensor; empty when dynamic
};

}  // namespace lcomp
