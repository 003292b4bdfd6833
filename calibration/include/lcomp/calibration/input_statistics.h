#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lcomp/calibration/hessian_accumulator.h"
#include "lcomp/core/matrix.h"
#include "lcomp/quantizers/cost/input_histogram.h"
#include "lcomp/quantizers/quantizer.h"

namespace lcomp {

// What calibration knows of the input of one linear layer, or of several that share it (q, k and v; gate and up).
struct InputStatistics {
  std::vector<std::string> components;  // names of the linear layers, without ".weight"
  std::uint64_t tokens = 0;  // that reached these layers; 0 for an expert that none was routed to, with zeros below
  Matrix hessian;            // [in_features, in_features], 2/n sum_t x_t x_t^T
  std::vector<float> mean;   // [in_features], 1/n sum_t x_t
  std::vector<float> absolute_maximum;  // [in_features], max_t |x_t|
  InputHistogram histogram;             // of all values of all x_t; empty in archives that have none

  LayerStats view() const;  // valid as long as this object
};

// A view that keeps the statistics it is of. Null where no token was seen.
std::shared_ptr<const LayerStats> shared_view(std::shared_ptr<const InputStatistics> statistics);

// Gathers InputStatistics over tokens that come in pieces. Sums are in double; the result depends neither on the
// division into pieces nor on the number of threads.
class InputAccumulator {
 public:
  explicit InputAccumulator(std::size_t in_features);

  // input: [any number of tokens, in_features]. Throws Error at the first value that is NaN or infinite, with
  // where(its row) and its column; the sums are spoilt then.
  void add(ConstMatrixView input, const std::function<std::string(std::size_t row)>& where);

  std::size_t in_features() const { return hessian_.in_features(); }
  std::uint64_t tokens() const { return hessian_.tokens(); }
  HessianAccumulator& hessian() { return hessian_; }
  std::vector<float> mean() const;
  const std::vector<float>& absolute_maximum() const { return absolute_maximum_; }
  const InputHistogram& histogram() const { return histogram_; }
  // Throws Error naming `components` when the Hessian exceeds what float32 holds.
  InputStatistics statistics(std::vector<std::string> components);

  static std::size_t memory(std::size_t in_features);

 private:
  HessianAccumulator hessian_;
  std::vector<double> sums_;
  std::vector<float> absolute_maximum_;
  InputHistogram histogram_;
};

// Throws Error naming `components` when an entry of a Hessian's lower triangle is not finite.
void require_finite_hessian(std::span<const float> lower_triangle, std::span<const std::string> components);

}  // namespace lcomp
