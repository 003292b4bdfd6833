#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/quantizers/layer_stats.h"

namespace lcomp {

// A compressed weight, and what the user should know of how it was made. A weight alone converts to it.
struct QuantizedWeight {
  QuantizedWeight() = default;
  template <std::convertible_to<CompressedWeight> Weight>
  QuantizedWeight(Weight&& made, std::vector<std::string> said = {})
      : weight(std::forward<Weight>(made)), warnings(std::move(said)) {}

  CompressedWeight weight;
  std::vector<std::string> warnings;
};

// Chooses the codes of a weight: one implementation a method. An object is made with the method's options and serves
// every component that shares them. Deterministic; thread-safe.
class Quantizer {
 public:
  virtual ~Quantizer() = default;

  // weight: [rows, cols], of a linear layer [out_features, in_features]. stats: of the layer's inputs, x [cols]. The
  // result decodes to [rows, cols]. Throws Error naming `component` for NaN or infinity in the weight, with row and
  // column, and for statistics that are missing or do not fit.
  virtual QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                                   const std::string& component) const = 0;
  // The same layout without statistics, as for an expert that no token was routed to: codes by plain rounding.
  virtual QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const {
    return quantize(weight, {}, component);
  }
  // Whether quantize() makes use of statistics, and whether it is no better than plain rounding without them.
  virtual bool uses_statistics() const = 0;
  virtual bool requires_statistics() const { return uses_statistics(); }

  // How quantize() will store a weight of this shape; nothing where that depends on the weight.
  virtual std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const = 0;
  // The payload bytes of that layout.
  std::optional<std::uint64_t> predicted_bytes(std::size_t rows, std::size_t cols) const;

  // The method string that make_quantizer() makes the same quantizer from: "rtn:bits=4,group=64,asym".
  virtual std::string name() const = 0;
};

}  // namespace lcomp
