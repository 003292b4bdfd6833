#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/rate_coded.h"
#include "lcomp/quantizers/cost/layer_importance.h"
#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"
#include "lcomp/quantizers/rate/rate_curve.h"

namespace lcomp {

inline constexpr double largest_step_exponent = 1.5;

// Throws Error naming `where` for options out of range, and where both precision and bits are set.
void check_rate_coded(const RateCodedOptions& options, const std::string& where);
// The row importance and the factored Hessian that a rate-coded weight needs: find_layer_importance() with
// importance_options(). The costly part of a RateCodedProblem, which depends neither on its precision nor on its
// exponents.
ImportanceOptions importance_options(const RateCodedOptions& options);
std::shared_ptr<const LayerImportance> find_rate_coded_importance(ConstMatrixView weight, const LayerStats& stats,
                                                                  const RateCodedOptions& options,
                                                                  const std::string& component);
// The method string; without precision and bits where neither is set.
std::string name(const RateCodedOptions& options);

// How a cost C and the bits of one weight change with its steps. With N = E R the rounding errors before error
// compensation (R of hessian_factor.h, E = W^ - W), which are proportional to their steps, and Z = dC/dW^ R^-T:
//   D_ij = N_ij Z_ij = dC / d ln step_ij,   R_ij = - d bits / d log2 step_ij, by RateCurve
// A change of row_exponent (column_exponent) moves the log2 steps of rows (columns) away from their mean by that change
// times r_i, the distance from the mean at exponent 1.
struct StepDerivatives {
  struct Spread {
    double imbalance = 0;  // sum_i (r_i - r) D_i, r = sum R_i r_i / R: 0 where every row's bits buy the same
    double variance = 0;   // sum_i R_i (r_i - r)^2 / R
  };
  double cost = 0, bits = 0;  // D and R of the whole weight
  Spread rows, columns;
};

// The steps of a weight, found before its codes are chosen. Made once, it quantizes the weight at any precision.
//   step_ij^2 = 4^-precision / (rho_i^a d_j^b),   rho_i = importance of row i,   d_j = R_jj^2 (hessian_factor.h)
// The exponents a and b (row_exponent and column_exponent) are applied to ratios to the geometric mean. Steps are then
// rounded to quarter octaves (rate_coded.h).
//
// To second order, errors E cost 1/2 sum_i rho_i e_i G e_i^T:
//   with sensitivities           G = sum over all outputs of the guided Hessian, rho_i = outputs[i] / sum of outputs
//   for embeddings, tied or not  G = diagonal, the sensitivity by columns, rho_i = that by rows; no error compensation
//   without sensitivities        G = the plain Hessian, all rho_i equal
// After error compensation the expected cost of weight ij is step_ij^2 rho_i d_j times a constant. It is the same for
// every weight of every component, which is the least cost for a given number of bits (reverse water-filling). A weight
// below its step takes hardly any bits.
class RateCodedProblem {
 public:
  // Keeps a view of `weight`. Throws as quantize() below.
  RateCodedProblem(ConstMatrixView weight, const LayerStats& stats, const RateCodedOptions& options,
                   const std::string& component);
  // The same with what find_rate_coded_importance() has found before.
  RateCodedProblem(ConstMatrixView weight, std::shared_ptr<const LayerImportance> importance,
                   const RateCodedOptions& options, const std::string& component);

  RateCodedWeight quantize(double precision) const;
  // About how many bits the codes take at each precision; row and column steps are not counted.
  const RateCurve& curve() const { return curve_; }
  // Whether the cost does not depend on the weight: codes are then all zero, whatever the precision.
  bool is_irrelevant() const { return irrelevant_; }
  // What the user should know.
  std::vector<std::string> warnings() const;

  // How cost and bits would change with the steps of a compressed weight W^. gradient: dC / dW^, error: W^ - W, both
  // [rows, cols]; precision: that of W^. 4 rows cols^2 operations.
  StepDerivatives step_derivatives(ConstMatrixView gradient, ConstMatrixView error, double precision) const;

 private:
  void find_steps();
  void find_magnitudes();

  ConstMatrixView weight_;
  RateCodedOptions options_;
  std::string component_;
  std::shared_ptr<const LayerImportance> importance_;
  bool irrelevant_ = false;
  std::vector<double> row_spread_, col_spread_;          // of exponent 1, around their means
  std::vector<double> row_steps_, col_steps_;            // log2 of the steps at precision 0: their sum
  std::vector<double> row_magnitudes_, col_magnitudes_;  // log2 of the mean |w_ij|: their sum
  RateCurve curve_;
};

// The weight at the highest precision found whose payload is at most `bytes`, and at least (1 - tolerance) times that
// where precision goes so finely; mostly two or three attempts. Throws Error when even a weight of zeros takes more.
RateCodedWeight quantize_to_bytes(const RateCodedProblem& problem, std::uint64_t bytes, double tolerance,
                                  const std::string& component);

// Rate-coded weights: integer levels with a step a row and a step a column, written by an entropy coder. Columns are
// rounded one after the other with error compensation as in GPTQ; codes are chosen by a trellis that minimises squared
// error + rate_weight * Lagrange multiplier * bits.
//
// Name: rate:precision=12.5 or rate:bits=3.2, then offset, rows=false, columns=false, plain, trellis, rate_weight,
// row_exponent, column_exponent, embedding_weight, damping, min_bits, max_bits where they differ from the defaults.
// With bits, the precision is searched: the payload is at most `bits` a weight, and at most 0.3 % below where the
// matrix has 100,000 weights or more.
//
// Cost: as GPTQ, plus 2^(trellis + 1) operations a weight; with bits, two to five times.
class RateCodedQuantizer : public Quantizer {
 public:
  explicit RateCodedQuantizer(
      const RateCodedOptions& options);  // throws Error for options out of range or an open size

  // Throws Error naming `component`: neither sensitivity nor Hessian in `stats`; one of another size or not finite; a
  // Hessian that stays singular; NaN or infinity in the weight; more bits asked for than codes can have.
  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override;
  // Equal steps; needs `bits`.
  QuantizedWeight quantize_without_statistics(ConstMatrixView weight, const std::string& component) const override;
  std::optional<WeightLayout> layout(std::size_t rows, std::size_t cols) const override;  // nothing
  bool uses_statistics() const override { return true; }
  std::string name() const override;

 private:
  RateCodedOptions options_;
};

}  // namespace lcomp
