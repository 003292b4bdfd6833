#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/quantizers/cost/input_histogram.h"

namespace lcomp {

// How much the cost of a task depends on one component W [rows, cols], to second order: where its outputs and weights
// matter. Made by the backward pass of calibration (calibration/sensitivity.h has the definitions).
struct LayerSensitivity {
  std::span<const float> outputs;  // [rows], 1/n sum_t g_ti^2; empty for an embedding that is not tied
  std::span<const float> rows;     // [rows], 1/n sum_t,j (g_ti x_tj)^2
  std::span<const float> columns;  // [cols], 1/n sum_t,i (g_ti x_tj)^2
  // [cols, cols], 2/n sum_t (1/rows sum_i g_ti^2) x_t x_t^T: tokens weighted by how much they matter; empty for an
  // embedding that is not tied.
  ConstMatrixView guided_hessian;
  bool embedding = false;  // rows are tokens, each with texts of its own: errors count by rows and columns
};

// What calibration knows of one linear. Empty views where a quantizer needs none (round-to-nearest needs nothing).
struct LayerStats {
  ConstMatrixView hessian;                        // [in_features, in_features], H = 2/n sum_t x_t x_t^T
  std::uint64_t tokens = 0;                       // n
  std::span<const float> mean = {};               // [in_features], 1/n sum_t x_t
  std::span<const float> absolute_maximum = {};   // [in_features], max_t |x_t|
  const InputHistogram* histogram = nullptr;      // of all values; null where it is not known
  const LayerSensitivity* sensitivity = nullptr;  // null where none was gathered
  std::vector<std::string>* warnings = nullptr;   // where set, quantize() adds what the user should know
};

// Chooses the codes of a weight. One implementation a method; each takes its options when it is made, so that one
// object serves every component that shares a setting. Deterministic; thread-safe.
class Quantizer {
 public:
  virtual ~Quantizer() = default;

  // weight: [rows, cols]. Throws Error when it holds NaN or infinity, naming `component` and the place.
  virtual CompressedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                                    const std::string& component) const = 0;

  // What the method does where nothing is known of a linear's inputs, as for an expert that no token was routed to: the
  // same layout, codes by plain rounding. Methods without statistics do the same in both.
  virtual CompressedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const {
    return quantize(weight, {}, component);
  }
  // Whether quantize() makes use of statistics, so that it is worth gathering them.
  virtual bool uses_statistics() const = 0;
  // Whether it can do nothing sensible without: plain rounding in the name of a method that is more than that.
  virtual bool requires_statistics() const { return uses_statistics(); }

  // Payload bytes that quantize() will produce for a weight of this shape, without doing it. Nothing where they depend
  // on the weight: formats whose codes are entropy-coded.
  virtual std::optional<std::uint64_t> predicted_bytes(std::size_t rows, std::size_t cols) const = 0;

  // The method string that make_quantizer makes the same quantizer from: "rtn:bits=4,group=64,asym".
  virtual std::string name() const = 0;
};

}  // namespace lcomp
