#include "lcomp/training/adamw.h"

#include <cassert>
#include <cmath>
#include <vector>

#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

namespace lcomp {

namespace {
constexpr std::size_t piece = 1 << 14;
}

void adamw_update(const AdamWOptions& options, double learning_rate, std::uint64_t step, float gradient_scale,
                  std::span<const float> gradient, std::span<float> first_moment, std::span<float> second_moment,
                  std::span<float> parameters) {
  assert(gradient.size() == parameters.size() && first_moment.size() == parameters.size() &&
         second_moment.size() == parameters.size());
  const auto beta1 = static_cast<float>(options.beta1), beta2 = static_cast<float>(options.beta2);
  const auto rest1 = static_cast<float>(1 - options.beta1), rest2 = static_cast<float>(1 - options.beta2);
  const double count = static_cast<double>(step);
  const auto decay = static_cast<float>(1 - learning_rate * options.weight_decay);
  const auto rate = static_cast<float>(learning_rate / (1 - std::pow(options.beta1, count)));
  const auto root = static_cast<float>(1 / std::sqrt(1 - std::pow(options.beta2, count)));
  const auto epsilon = static_cast<float>(options.epsilon);
  parallel_chunks(0, parameters.size(), piece, [&](std::size_t begin, std::size_t end) {
    const float* g = gradient.data();
    float *m = first_moment.data(), *v = second_moment.data(), *p = parameters.data();
    for (std::size_t i = begin; i < end; ++i) {
      const float scaled = gradient_scale * g[i];
      m[i] = beta1 * m[i] + rest1 * scaled;
      v[i] = beta2 * v[i] + rest2 * scaled * scaled;
      p[i] = decay * p[i] - rate * m[i] / (std::sqrt(v[i]) * root + epsilon);
    }
  });
}

double euclidean_norm(std::span<const float> values) {
  std::vector<double> sums(divide_up(values.size(), piece), 0.0);
  parallel_chunks(0, values.size(), piece, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += static_cast<double>(values[i]) * values[i];
    sums[begin / piece] = sum;
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return std::sqrt(total);
}

}  // namespace lcomp
