#include "report/metric_text.h"

#include <gtest/gtest.h>

namespace lcomp {
namespace {

TEST(MetricText, KeepsDigitsOfSmallAndLargeNumbers) {
  EXPECT_EQ(perplexity_text(23.547), "23.55");
  EXPECT_EQ(perplexity_text(1.26e10), "1.26e+10");
  EXPECT_EQ(divergence_text(0.12344), "0.1234");
  EXPECT_EQ(divergence_text(0.00048509), "4.9e-04");
  EXPECT_EQ(divergence_text(0), "0.0000");
  EXPECT_EQ(accuracy_text(0.47263), "47.26 %");
}

}  // namespace
}  // namespace lcomp
