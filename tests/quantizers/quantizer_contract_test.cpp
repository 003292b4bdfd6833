#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>

#include "correlated_layer.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "same_bytes.h"
#include "support/error_message.h"

// What every quantizer promises. A new one adds its names here.
namespace lcomp {
namespace {

using ::testing::HasSubstr;

const char* const names[] = {
    "f16",
    "bf16",
    "f32",
    "rtn:bits=1,group=64,sym",
    "rtn:bits=1,group=32,asym,grid=mse",
    "rtn:bits=2,group=64,asym,grid=mse",
    "rtn:bits=2,group=64,asym,grid=mse,scales=u8",
    "rtn:bits=2,group=channel,sym,grid=mse",
    "rtn:bits=3,group=16,asym",
    "rtn:bits=3,group=64,asym,scales=u8",
    "rtn:bits=3,group=channel,sym,grid=mse,scales=u8",
    "rtn:bits=4,group=64,asym",
    "rtn:bits=4,group=tensor,sym",
    "rtn:bits=4,group=tensor,asym,grid=mse,scales=u8",
    "rtn:bits=5,group=channel,sym",
    "rtn:bits=6,group=7,asym,scales=f32",
    "rtn:bits=7,group=channel,asym,scales=u8",
    "rtn:bits=8,group=128,sym",
    "rtn:bits=2,group=32,asym,grid=hqq",
    "rtn:bits=3,group=64,asym,grid=hqq,zeros=f16",
    "rtn:bits=4,group=channel,asym,grid=hqq,scales=u8,zeros=f16",
    "rtn:bits=4,group=tensor,asym,zeros=f16",
    "rtn:bits=2,group=64,asym,grid=mse,zeros=f16",
    "gptq:bits=1,group=32,sym,grid=mse",
    "gptq:bits=2,group=64,asym,grid=mse,scales=u8,act_order",
    "gptq:bits=3,group=16,asym,act_order,static_groups",
    "gptq:bits=4,group=64,asym",
    "gptq:bits=4,group=40,asym,act_order",
    "gptq:bits=4,group=channel,sym,act_order,damping=0.05",
    "gptq:bits=3,group=channel,sym,grid=mse,scales=u8,static_groups,block_size=64",
    "gptq:bits=3,group=64,asym,grid=hqq,zeros=f16,act_order",
    "gptq:bits=8,group=128,asym,scales=f32",
    "log:bits=1,group=16,base=2",
    "log:bits=2,group=64,base=fit,zero",
    "log:bits=3,group=channel,base=sqrt2,zero,scales=u8",
    "log:bits=4,group=64,base=2",
    "log:bits=4,group=40,base=1.5,feedback,act_order",
    "log:bits=4,group=channel,base=fit,zero,scales=f32,feedback",
    "log:bits=8,group=7,base=1.1,scales=u8",
    "nf:bits=1,group=32",
    "nf:bits=2,group=64,grid=mse,scales=u8,feedback,act_order,block_size=64",
    "nf:bits=3,group=16,grid=mse,feedback,act_order,static_groups",
    "nf:bits=4,group=64",
    "nf:bits=4,group=channel,scales=f32,feedback,damping=0.05",
    "nf:bits=8,group=7,scales=u8",
    "codebook:bits=1,group=channel",
    "codebook:bits=2,group=32,fit=lloyd",
    "codebook:bits=3,group=channel,feedback,act_order",
    "codebook:bits=3,group=40,fit=exact,feedback,act_order",
    "codebook:bits=4,group=64,damping=0.1",
    "codebook:bits=8,group=channel",
    "lnq:bits=1",
    "lnq:bits=3",
    "lnq:bits=2,alternations=1,cycles=2,act_order=false,damping=0.05",
    "lnq:bits=5",
    "rate:precision=8",
    "rate:precision=7,rows=false,columns=false,trellis=0,rate_weight=0",
    "rate:precision=9,trellis=5,rate_weight=1",
    "rate:precision=8,columns=false,plain,trellis=2,row_exponent=1,damping=0.05",
    "banded:bits=48,asym",
    "banded:bits=64,sym",
    "banded:bits=44,sym,grid=minmax",
    "banded:bits=52.5,asym,equal_widths,plain,damping=0.05,offset=1",
};

// What runs behind every transform too: one or two of each method and format.
const char* const behind_transforms[] = {
    "f16",
    "rtn:bits=3,group=64,asym,grid=hqq,zeros=f16",
    "rtn:bits=4,group=tensor,asym,grid=mse,scales=u8",
    "gptq:bits=4,group=40,asym,act_order",
    "gptq:bits=3,group=channel,sym,grid=mse,scales=u8,static_groups,block_size=64",
    "log:bits=4,group=40,base=1.5,feedback,act_order",
    "nf:bits=4,group=64",
    "codebook:bits=2,group=32,fit=lloyd",
    "lnq:bits=3",
};
const char* const transforms[] = {"rotate+", "rotate:block=16,outputs,paley,seed=3+", "scale:steps=2+",
                                  "scale:alpha=0.5+rotate:outputs+"};

std::vector<std::string> all_names() {
  std::vector<std::string> all(std::begin(names), std::end(names));
  for (const char* transform : transforms) {
    for (const char* name : behind_transforms) all.push_back(std::string(transform) + name);
  }
  return all;
}

struct Shape {
  std::size_t rows, cols;
};
const Shape shapes[] = {{1, 1}, {3, 5}, {7, 33}, {40, 129}, {19, 256}};

Matrix random_weight(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Rng rng(seed);
  Matrix weight(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    const double deviation = 0.01 * std::exp(rng.normal());
    for (float& w : weight.row(i)) w = static_cast<float>(deviation * rng.normal());
  }
  return weight;
}

// Statistics of correlated inputs, for those that need them.
LayerStats stats_for(std::size_t cols) {
  static std::map<std::size_t, Matrix> hessians;
  Matrix& hessian = hessians[cols];
  if (hessian.empty()) hessian = testing::correlated_layer(1, cols, cols).hessian;
  LayerStats stats;
  stats.hessian = hessian.view();
  return stats;
}

double squared_error(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += std::pow(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]), 2);
  return sum;
}

class QuantizerTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Quantizer> quantizer_ = make_quantizer(GetParam(), "test");
};

TEST_P(QuantizerTest, ItsNameMakesIt) { EXPECT_EQ(quantizer_->name(), GetParam()); }

TEST_P(QuantizerTest, TakesTheBytesThatItPredicts) {
  for (const Shape& shape : shapes) {
    const CompressedWeight compressed =
        quantizer_->quantize(random_weight(shape.rows, shape.cols, 1).view(), stats_for(shape.cols), "w").weight;
    const auto predicted = quantizer_->predicted_bytes(shape.rows, shape.cols);
    if (GetParam().starts_with("rate") || GetParam().starts_with("banded")) {
      EXPECT_FALSE(predicted.has_value());
    } else {
      EXPECT_EQ(payload_bytes(compressed), predicted);
      EXPECT_TRUE(layout(compressed) == quantizer_->layout(shape.rows, shape.cols));
    }
    EXPECT_EQ(rows(layout(compressed)), shape.rows);
    EXPECT_EQ(cols(layout(compressed)), shape.cols);
  }
}

TEST_P(QuantizerTest, ASecondPassAddsNoMoreThanTheFirst) {
  // Weights on a grid come back as they are where the second fit finds the same grid, and near that where it doesn't
  // (the range of a symmetric grid is clamped at its upper end). Groups or rows in disorder would show here.
  for (const Shape& shape : shapes) {
    const Matrix weight = random_weight(shape.rows, shape.cols, 2);
    const Matrix once = decode(quantizer_->quantize(weight.view(), stats_for(shape.cols), "w").weight);
    const Matrix twice = decode(quantizer_->quantize(once.view(), stats_for(shape.cols), "w").weight);
    // These make another error small; what is left of this one varies more.
    const auto has = [](const char* word) { return GetParam().find(word) != std::string::npos; };
    if (has("gptq") || has("rate") || has("banded") || has("lnq") || has("feedback") ||
        GetParam().starts_with("scale")) {
      const ConstMatrixView hessian = stats_for(shape.cols).hessian;
      EXPECT_LE(proxy_error(once.view(), twice.view(), hessian),
                (has("banded") ? 3 : 2) * proxy_error(weight.view(), once.view(), hessian) + 1e-12);
    } else {
      EXPECT_LE(squared_error(once, twice), 1.2 * squared_error(weight, once) + 1e-12);
    }
  }
}

TEST_P(QuantizerTest, GivesTheSameBytesAgainAndOnAnyNumberOfThreads) {
  const Matrix weight = random_weight(203, 129, 3);
  const std::size_t threads = thread_count();
  set_thread_count(1);
  const CompressedWeight one = quantizer_->quantize(weight.view(), stats_for(129), "w").weight;
  set_thread_count(4);
  const CompressedWeight four = quantizer_->quantize(weight.view(), stats_for(129), "w").weight;
  const CompressedWeight again = quantizer_->quantize(weight.view(), stats_for(129), "w").weight;
  set_thread_count(threads);
  EXPECT_TRUE(testing::same_bytes(one, four));
  EXPECT_TRUE(testing::same_bytes(four, again));
}

TEST_P(QuantizerTest, ReadsOnlyTheViewThatItIsGiven) {
  const Matrix wide = random_weight(20, 200, 4);
  Matrix narrow(20, 77);
  for (std::size_t i = 0; i < 20; ++i) std::copy_n(wide.row(i).data() + 100, 77, narrow.row(i).data());
  EXPECT_TRUE(testing::same_bytes(quantizer_->quantize(wide.view().cols_range(100, 77), stats_for(77), "w").weight,
                                  quantizer_->quantize(narrow.view(), stats_for(77), "w").weight));
}

TEST_P(QuantizerTest, RefusesWhatIsNoNumberNamingThePlace) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    Matrix weight = random_weight(70, 33, 5);
    weight(66, 31) = bad;
    EXPECT_THAT(
        testing::message([&] { quantizer_->quantize(weight.view(), stats_for(33), "model.layers.3.mlp.up_proj"); }),
        HasSubstr("model.layers.3.mlp.up_proj, row 66, column 31"))
        << bad;
  }
}

TEST_P(QuantizerTest, KeepsZerosAndTinyWeights) {
  Matrix weight(6, 40);
  weight.fill(0);
  EXPECT_EQ(squared_error(weight, decode(quantizer_->quantize(weight.view(), stats_for(40), "w").weight)), 0);
  weight(2, 3) = 1e-8f;
  weight(4, 39) = -2e-8f;
  const Matrix decoded = decode(quantizer_->quantize(weight.view(), stats_for(40), "w").weight);
  // A few times the smallest f16 scale, and the factors of a transform.
  const float bound = GetParam().find('+') == std::string::npos ? 1e-7f : 1e-6f;
  for (const float w : decoded.span()) EXPECT_LE(std::abs(w), bound);
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, QuantizerTest, ::testing::ValuesIn(all_names()), test_name);

// Families of quantizers that differ in the width alone.
struct Family {
  std::string prefix, suffix;
  int first_bits;
};

class QuantizerFamilyTest : public ::testing::TestWithParam<Family> {};

TEST_P(QuantizerFamilyTest, MoreBitsTakeMoreBytesAndHaveASmallerError) {
  const Family& family = GetParam();
  const Matrix weight = random_weight(24, 256, 6);
  double last_error = std::numeric_limits<double>::infinity();
  std::uint64_t last_bytes = 0;
  for (int bits = family.first_bits; bits <= 8; ++bits) {
    const auto quantizer = make_quantizer(family.prefix + std::to_string(bits) + family.suffix, "test");
    const CompressedWeight compressed = quantizer->quantize(weight.view(), stats_for(256), "w").weight;
    const double error = squared_error(weight, decode(compressed));
    EXPECT_LT(error, last_error) << bits;
    EXPECT_GT(payload_bytes(compressed), last_bytes) << bits;
    last_error = error;
    last_bytes = payload_bytes(compressed);
  }
  Matrix zeros(weight.rows(), weight.cols());
  zeros.fill(0);
  EXPECT_LT(last_error, 1e-2 * squared_error(weight, zeros));
}

// One symmetric bit has the best scale for its error, the range at 2 bits has not: only the search is monotone from 1
// bit on.
INSTANTIATE_TEST_SUITE_P(
    All, QuantizerFamilyTest,
    ::testing::Values(
        Family{"rtn:bits=", ",group=64,asym", 1}, Family{"rtn:bits=", ",group=64,sym", 2},
        Family{"rtn:bits=", ",group=channel,asym,grid=mse", 1}, Family{"rtn:bits=", ",group=channel,sym,grid=mse", 1},
        Family{"rtn:bits=", ",group=32,sym,grid=mse,scales=u8", 1},
        Family{"rtn:bits=", ",group=tensor,asym,grid=mse", 1}, Family{"rtn:bits=", ",group=64,asym,scales=u8", 1},
        Family{"gptq:bits=", ",group=64,asym", 2}, Family{"gptq:bits=", ",group=channel,sym,grid=mse,act_order", 2},
        Family{"log:bits=", ",group=64,base=fit", 1}, Family{"log:bits=", ",group=channel,base=fit,zero,scales=u8", 1},
        Family{"log:bits=", ",group=64,base=fit,feedback", 1}, Family{"nf:bits=", ",group=64", 2},
        Family{"nf:bits=", ",group=channel,grid=mse", 1}, Family{"codebook:bits=", ",group=channel", 1},
        Family{"codebook:bits=", ",group=channel,fit=lloyd", 1},
        Family{"codebook:bits=", ",group=channel,feedback,act_order", 1}, Family{"lnq:bits=", "", 1}));

}  // namespace
}  // namespace lcomp
