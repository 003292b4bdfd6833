#include "lcomp/training/projected_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "training/grid_range.h"
#include "training/learned_step.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

GroupedIntegerLayout layout_of(std::size_t rows, std::size_t cols, int bits, std::size_t group) {
  GroupedIntegerLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = bits;
  layout.group_size = group;
  layout.scale_storage = ScaleStorage::f32;
  return layout;
}

// 3 bits: codes -4 ... 3. Groups [3, -1.4], [0, 0] and [-12].
TEST(GivenSteps, RoundByHand) {
  std::vector<float> values = {3, -1.4F, 0, 0, -12};
  const ConstMatrixView weight(values.data(), 1, 5);
  const GroupedIntegerLayout layout = layout_of(1, 5, 3, 2);
  std::vector<float> steps(3);
  absolute_maximum_steps(layout, weight, steps);
  EXPECT_THAT(steps, ElementsAre(1, 1, 4));
  const Matrix rounded = decode(round_to_steps(layout, weight, steps, "w"));
  EXPECT_THAT(std::vector<float>(rounded.span().begin(), rounded.span().end()), ElementsAre(3, -1, 0, 0, -12));
  initial_steps(layout, weight, steps);
  EXPECT_THAT(steps, ElementsAre(FloatEq(static_cast<float>(4.4 / std::sqrt(3.0))), 1,
                                 FloatEq(static_cast<float>(24 / std::sqrt(3.0)))));
}

// Step 1: v = 2.6 (inside, rounds to 3), 3.2 (at the upper end or beyond), -4.7 (beyond the lower one), 0.25.
//   ds = (1 * 0.4 + 2 * 3 + 3 * -4 + 4 * -0.25) / sqrt(4 * 3)
TEST(GivenSteps, LearnedStepsByHand) {
  std::vector<float> values = {2.6F, 3.2F, -4.7F, 0.25F}, gradients = {1, 2, 3, 4}, of_steps(1);
  const ConstMatrixView weight(values.data(), 1, 4);
  const std::vector<float> steps = {1};
  const GroupedIntegerWeight rounded = round_to_steps(layout_of(1, 4, 3, 4), weight, steps, "w");
  pass_back_learned(rounded, weight, {gradients.data(), 1, 4}, of_steps);
  EXPECT_THAT(gradients, ElementsAre(1, 0, 0, 4));
  EXPECT_NEAR(of_steps[0], (0.4 + 6 - 12 - 1) / std::sqrt(12.0), 1e-6);
  gradients = {1, 2, 3, 4};
  pass_back(rounded, weight, true, {gradients.data(), 1, 4});  // -4.7 rounds to -5, 3.2 to 3
  EXPECT_THAT(gradients, ElementsAre(1, 2, 0, 4));
  gradients = {1, 2, 3, 4};
  pass_back(rounded, weight, false, {gradients.data(), 1, 4});
  EXPECT_THAT(gradients, ElementsAre(1, 2, 3, 4));
}

// One step for the whole weight: the same sums, over all rows.
TEST(GivenSteps, OneForTheWholeWeight) {
  std::vector<float> values = {2.6F, 3.2F, -4.7F, 0.25F}, gradients = {1, 2, 3, 4}, of_steps(1);
  const ConstMatrixView weight(values.data(), 2, 2);
  GroupedIntegerLayout layout = layout_of(2, 2, 3, 2);
  layout.per_tensor = true;
  const std::vector<float> steps = {1};
  const GroupedIntegerWeight rounded = round_to_steps(layout, weight, steps, "w");
  pass_back_learned(rounded, weight, {gradients.data(), 2, 2}, of_steps);
  EXPECT_NEAR(of_steps[0], (0.4 + 6 - 12 - 1) / std::sqrt(12.0), 1e-6);
  std::vector<float> maximum(1);
  absolute_maximum_steps(layout, weight, maximum);
  EXPECT_FLOAT_EQ(maximum[0], 4.7F / 3);
}

// Levels -2 ... 1 times 0.5; the weights were rounded elsewhere than to their nearest.
TEST(GivenSteps, BeginWithTheCodesOfAnother) {
  for (const ScaleStorage storage : {ScaleStorage::f32, ScaleStorage::f16}) {
    GroupedIntegerLayout layout = layout_of(2, 3, 2, 2);
    layout.scale_storage = storage;
    std::vector<float> values = {0.5F, -1, 0, 0.25F, -0.25F, 1};
    const std::vector<float> given = {0.5F, 0.25F, 0.25F, 1};
    const GroupedIntegerWeight start = round_to_steps(layout, {values.data(), 2, 3}, given, "w");
    std::vector<float> original = {0.2F, 3, 0.04F, -0.01F, -0.22F, 0.6F}, steps(4);
    start_from(view(start), 0.25, {original.data(), 2, 3}, steps);
    EXPECT_EQ(steps, given);
    EXPECT_THAT(original, ElementsAre(0.375F, -0.875F, 0.04F, 0.1875F, -0.22F, 0.75F));
    const GroupedIntegerWeight again = round_to_steps(layout, {original.data(), 2, 3}, steps, "w");
    EXPECT_EQ(again.codes, start.codes);
    EXPECT_EQ(again.scales, start.scales);
  }
}

TEST(GivenSteps, AreStoredAsTheLayoutSays) {
  std::vector<float> values = {1, 2, 3, 4};
  const ConstMatrixView weight(values.data(), 2, 2);
  GroupedIntegerLayout layout = layout_of(2, 2, 4, 2);
  layout.scale_storage = ScaleStorage::f16;
  const std::vector<float> steps = {0.1F, -3};  // a step that has become negative
  const std::vector<float> stored = decode_scales(view(round_to_steps(layout, weight, steps, "w")));
  EXPECT_NEAR(stored[0], 0.1F, 1e-4);
  EXPECT_NE(stored[0], 0.1F);
  EXPECT_GT(stored[1], 0);
  const std::vector<float> infinite = {1, INFINITY};
  EXPECT_THAT([&] { round_to_steps(layout, weight, infinite, "w"); }, ThrowsMessage<Error>(HasSubstr("w: a step")));
}

std::vector<float> clipped(const CompressedWeight& rounded, const std::vector<float>& weight) {
  std::vector<float> gradient(weight.size(), 1.0F);
  clip_gradient(view(rounded), {weight.data(), 1, weight.size()}, {gradient.data(), 1, weight.size()});
  return gradient;
}

// A grid fitted to other weights cuts off what lies outside of it.
TEST(ClippedGradient, EndsHalfAStepBeyondTheGrid) {
  const std::vector<float> fitted = {-1, 1, 0.5F, 0};
  const auto fit = [&](const char* method) {
    return make_quantizer(method, "method")->quantize({fitted.data(), 1, 4}, {}, "w").weight;
  };
  // Asymmetric, 2 bits: levels about -2/3, 0, 2/3, 4/3 or -4/3 ... 2/3, step 2/3.
  const CompressedWeight uniform = fit("rtn:bits=2,group=channel,scales=f32");
  const Matrix decoded = decode(uniform);
  EXPECT_THAT(clipped(uniform, {-1, 1, 0, 0}), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(clipped(uniform, {-2, 2, 0.1F, -0.1F}), ElementsAre(0, 0, 1, 1));
  for (const char* method : {"nf:bits=3,group=channel", "log:bits=3,group=channel", "codebook:bits=2,group=channel"}) {
    const CompressedWeight weight = fit(method);
    EXPECT_THAT(clipped(weight, fitted), ElementsAre(1, 1, 1, 1)) << method;
    EXPECT_THAT(clipped(weight, {-2, 2, 0.1F, -0.1F}), ElementsAre(0, 0, 1, 1)) << method;
  }
  EXPECT_THROW(require_clippable(layout(fit("rotate+rtn:bits=3,group=channel")), "w"), Error);
}

}  // namespace
}  // namespace lcomp
