#pragma once

#include <cstdint>
#include <vector>

namespace lcomp {

// About how many bits the codes of a rate-coded weight take at each precision: the entropy of levels of Laplacian
// weights, from their magnitudes in steps. Within a few percent of the file; cheap, so that a budget can be allocated
// before anything is compressed.
class RateCurve {
 public:
  RateCurve() = default;  // no weights
  // trellis_memory: of the levels (formats/trellis.h).
  explicit RateCurve(int trellis_memory) : trellis_memory_(trellis_memory) {}

  // Counts weights whose mean magnitude is 2^log2_magnitude steps at precision 0; rounded to quarter octaves.
  void add(double log2_magnitude, std::uint64_t weights = 1);

  std::uint64_t weights() const { return weights_; }
  double bits(double precision) const;
  // The precision at which bits() is so many; from -widest_precision to widest_precision.
  double precision(double bits) const;
  // d bits / d precision: about the number of weights that take bits at all.
  double slope(double precision) const;

  // The same for one weight of such a magnitude.
  static double weight_slope(int trellis_memory, double log2_magnitude);

  static constexpr double widest_precision = 64;

 private:
  int trellis_memory_ = 0;
  std::uint64_t weights_ = 0;
  std::vector<std::uint64_t> counts_;  // by quarter octaves of the magnitude
};

}  // namespace lcomp
