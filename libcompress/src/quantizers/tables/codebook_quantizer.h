#pragma once

#include <cstddef>
#include <string>

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

std::string name(const CodebookOptions& options);  // the method string

// How a weight of this shape is stored under these options, whose bits are set.
CodebookLayout layout_of(const CodebookOptions& options, std::size_t rows, std::size_t cols);

// Codebooks: each row (or group of columns of a row) gets 2^bits levels of its own, f16, by weighted k-means
// (weighted_kmeans.h), and every weight the nearest one. Columns are weighed by the diagonal of H where the statistics
// have one, as in SqueezeLLM (arXiv 2306.07629); with error compensation by R_jj^2 (hessian_factor.h), and codes are
// chosen by GPTQ's loop.
//
// Name: "codebook:bits=3,group=channel", then "fit=exact" or "fit=lloyd", "feedback", "act_order", "static_groups",
// "damping=0.05", "block_size=64" where they differ from the defaults. The result does not depend on the number of
// threads. For each group of n columns n log n operations to sort it and 2^bits m log m, m the
// smaller of n and 256; error compensation as in error_feedback.h.
class CodebookQuantizer : public Quantizer {
 public:
  explicit CodebookQuantizer(const CodebookOptions& options);  // throws Error for options out of range

  // Throws Error naming `component`: NaN or infinity in the weight (naming row and column); weights that overflow f16;
  // a Hessian of another size or not finite; with error compensation, no Hessian.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  bool uses_statistics() const override { return true; }
  bool requires_statistics() const override { return options_.feedback.enabled; }
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;
  std::string name() const override;

 private:
  CodebookOptions options_;
};

}  // namespace lcomp
