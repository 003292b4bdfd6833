#include "quantizers/uniform/half_quadratic.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "lcomp/formats/grouped_integer.h"

namespace lcomp {
namespace {

// As published.
constexpr int most_turns = 20;
constexpr double p = 0.7;
constexpr double first_beta = 10;
constexpr double beta_growth = 1.01;

// The proximal operator of |x|^p / beta, by its first-order formula: sign(x) max(|x| - |x|^(p-1) / beta, 0).
double shrunk(double x, double beta) {
  const double magnitude = std::abs(x);
  if (magnitude <= 1 && magnitude * beta <= 1) return 0;  // |x|^(2-p) beta <= |x| beta: without the power
  return std::copysign(std::max(magnitude - std::pow(magnitude, p - 1) / beta, 0.0), x);
}

// One group in units of its scale; zero points are any numbers.
class ZeroPointFit {
 public:
  ZeroPointFit(std::span<const float> weights, float scale, int bits)
      : in_steps_(weights.size()), highest_(static_cast<double>((1 << bits) - 1)) {
    for (std::size_t j = 0; j < weights.size(); ++j) {
      in_steps_[j] = static_cast<double>(weights[j]) / static_cast<double>(scale);
    }
  }

  // Mean |w - w^|.
  double error(double zero_point) const {
    double sum = 0;
    for (const double w : in_steps_) sum += std::abs(w - (code(w, zero_point) - zero_point));
    return sum / static_cast<double>(in_steps_.size());
  }

  double run(double zero_point) const {
    double best = zero_point;
    double least = error(zero_point);
    double beta = first_beta;
    for (int turn = 0; turn < most_turns; ++turn, beta *= beta_growth) {
      zero_point = next(zero_point, beta);
      const double now = error(zero_point);
      if (!(now < least)) break;
      least = now;
      best = zero_point;
    }
    return best;
  }

 private:
  double code(double w, double zero_point) const { return std::clamp(std::nearbyint(w + zero_point), 0.0, highest_); }

  double next(double zero_point, double beta) const {
    double sum = 0;
    for (const double w : in_steps_) {
      const double q = code(w, zero_point);
      sum += q - (w - shrunk(w - (q - zero_point), beta));
    }
    return sum / static_cast<double>(in_steps_.size());
  }

  std::vector<double> in_steps_;
  double highest_;
};

}  // namespace

UniformGrid fit_half_quadratic(std::span<const float> weights, float low, const UniformGrid& start,
                               const GridSetting& setting) {
  const ZeroPointFit fit(weights, start.scale, setting.bits);
  const double exact = fit.run(static_cast<double>(-low) / static_cast<double>(start.scale));
  const float stored = round_zero_point(static_cast<float>(exact), setting.zero_storage, setting.bits);
  const bool better = std::isfinite(stored) &&
                      fit.error(static_cast<double>(stored)) < fit.error(static_cast<double>(start.zero_point));
  return {start.scale, better ? stored : start.zero_point};
}

}  // namespace lcomp
