#include "lcomp/training/adamw.h"

#include <cassert>
#include <cmath>
#include <vector>

#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "training/training_kernels.h"

namespace lcomp {

namespace {
constexpr std::size_t piece = 1 << 14;
}

void adamw_update(const AdamWOptions& options, double learning_rate, std::uint64_t step, float gradient_scale,
                  std::span<const float> gradient, std::span<float> first_moment, std::span<float> second_moment,
                  std::span<float> parameters) {
  assert(gradient.size() == parameters.size() && first_moment.size() == parameters.size() &&
         second_moment.size() == parameters.size());
  const double count = static_cast<double>(step);
  AdamWFactors factors{};
  factors.gradient_scale = gradient_scale;
  factors.beta1 = static_cast<float>(options.beta1);
  factors.rest1 = static_cast<float>(1 - options.beta1);
  factors.beta2 = static_cast<float>(options.beta2);
  factors.rest2 = static_cast<float>(1 - options.beta2);
  factors.decay = static_cast<float>(1 - learning_rate * options.weight_decay);
  factors.rate = static_cast<float>(learning_rate / (1 - std::pow(options.beta1, count)));
  factors.root = static_cast<float>(1 / std::sqrt(1 - std::pow(options.beta2, count)));
  factors.epsilon = static_cast<float>(options.epsilon);
  parallel_chunks(0, parameters.size(), piece, [&](std::size_t begin, std::size_t end) {
    adamw_values(factors, gradient.data() + begin, end - begin, first_moment.data() + begin,
                 second_moment.data() + begin, parameters.data() + begin);
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
