#include "training/training_kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lcomp/core/rng.h"

namespace lcomp {
namespace {

std::vector<float> normals(std::size_t size, Rng& rng) {
  std::vector<float> values(size);
  for (float& v : values) v = static_cast<float>(rng.normal());
  return values;
}

// Sizes with and without a rest beside whole vectors, and beyond a piece; halves round to even.
TEST(TrainingKernels, CodesAndGradientsOfSteps) {
  Rng rng(1);
  for (const std::size_t size : {1U, 7U, 64U, 1003U}) {
    std::vector<float> weight = normals(size, rng), gradient = normals(size, rng);
    if (size > 8) {
      weight[0] = 0.25F;  // half a step: to 0
      weight[1] = 0.75F;  // to 2
      weight[2] = -2;     // the lowest level itself
      weight[3] = 1.5F;   // the highest
    }
    const float step = 0.5F, low = -4, high = 3;
    std::vector<std::uint8_t> codes(size);
    codes_of_steps(weight.data(), size, step, low, high, codes.data());
    std::vector<float> passed = gradient;
    const double sum = pass_back_to_step(weight.data(), size, step, low, high, passed.data());
    double expected = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const float v = weight[i] / step;
      const bool outside = v <= low || v >= high;
      const float level = std::clamp(std::nearbyint(v), low, high);
      EXPECT_EQ(codes[i], static_cast<std::uint8_t>(level - low)) << i;
      EXPECT_EQ(passed[i], outside ? 0 : gradient[i]) << i;
      expected += static_cast<double>(gradient[i]) * (outside ? level : level - v);
    }
    EXPECT_NEAR(sum, expected, 1e-4 * std::sqrt(static_cast<double>(size)));
  }
}

// The same bits as the formula, whatever a vector holds.
TEST(TrainingKernels, AdamW) {
  Rng rng(2);
  const AdamWFactors f = {0.5F, 0.9F, 0.1F, 0.98F, 0.02F, 0.999F, 3e-3F, 1.5F, 1e-8F};
  for (const std::size_t size : {3U, 37U}) {
    const std::vector<float> gradient = normals(size, rng);
    std::vector<float> m = normals(size, rng), v = normals(size, rng), p = normals(size, rng);
    for (float& each : v) each = std::abs(each);
    std::vector<float> m0 = m, v0 = v, p0 = p;
    adamw_values(f, gradient.data(), size, m.data(), v.data(), p.data());
    for (std::size_t i = 0; i < size; ++i) {
      volatile float g = f.gradient_scale * gradient[i];  // volatile: nothing is fused here either
      volatile float a = f.beta1 * m0[i], b = f.rest1 * g, c = f.beta2 * v0[i], e = f.rest2 * g;
      volatile float e2 = e * g, first = a + b, second = c + e2;
      volatile float below = std::sqrt(second) * f.root, above = f.rate * first, kept = f.decay * p0[i];
      volatile float denominator = below + f.epsilon;
      EXPECT_EQ(m[i], first);
      EXPECT_EQ(v[i], second);
      EXPECT_EQ(p[i], kept - above / denominator);
    }
  }
}

}  // namespace
}  // namespace lcomp
