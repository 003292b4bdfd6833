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
  token,   // one scale (and zero point) per token, computed at run time
  tensor,  // one scale (and zero point) per linear layer, fixed by calibration
};

// How the range of the inputs is determined. Granularity `token` is always dynamic, `tensor` never: a range over all
// tokens of a batch would make a token's result depend on the other tokens.
enum class ActivationRange {
  dynamic,     // least and greatest value of the token at run time
  minmax,      // least and greatest value over the calibration data
  percentile,  // the range that holds this percentage of the values over the calibration data
  mse,         // the range with the least mean squared error over the calibration data
};

std::string_view name(ActivationGranularity granularity);  // "token", "tensor"
std::string_view name(ActivationRange range);              // "dynamic", "minmax", "percentile", "mse"

struct ActivationSetting {
  ActivationGranularity granularity = ActivationGranularity::token;
  bool symmetric = true;
  ActivationRange range = ActivationRange::dynamic;
  double percentile = 99.99;  // in percent, range `percentile` only
  bool head = false;          // also the output head; linear layers of blocks always, routers never

  bool is_static() const { return range != ActivationRange::dynamic; }
  bool operator==(const ActivationSetting&) const = default;
};

//   {"bits": 8, "granularity": "tensor", "symmetric": true, "range": "percentile", "percentile": 99.99, "head": false}
// All keys but bits may be left out: granularity "token"; range "dynamic" for token and "minmax" for tensor; symmetric
// true; percentile 99.99; head false. Strict: throws Error naming the key's path under `where` for unknown keys, other
// bits, and combinations that are not allowed.
ActivationSetting activation_setting_from_json(const nlohmann::json& json, const std::string& where);
nlohmann::json to_json(const ActivationSetting& setting);
// Readable text: "int8 per token", "int8 per tensor, asymmetric, 99.99th percentile".
std::string describe(const ActivationSetting& setting);

// The integer grid of one linear layer's input where it is fixed by calibration.
struct InputGrid {
  float scale = 1;  // > 0, finite
  std::uint8_t zero_point = 128;

  bool operator==(const InputGrid&) const = default;
};

inline constexpr std::size_t input_grid_bytes = 5;  // size of a stored grid

// The grid for values in [low, high] by the formulas above, with scale 1 where they give 0. low and high are finite,
// low <= high.
InputGrid input_grid(float low, float high, bool symmetric);

// Throws Error naming `where` for a scale that is not positive and finite, and with `symmetric` for a zero point other
// than 128.
void check_input_grid(const InputGrid& grid, bool symmetric, const std::string& where);

struct ActivationQuantization {
  ActivationSetting setting;
  std::map<std::string, InputGrid, std::less<>> inputs;  // by the name of the weight's tensor; empty when dynamic
};

}  // namespace lcomp
