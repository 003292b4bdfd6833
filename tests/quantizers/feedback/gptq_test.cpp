#include "quantizers/feedback/gptq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

#include "core/instruction_sets.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "quantizers/correlated_layer.h"
#include "quantizers/same_bytes.h"
#include "quantizers/uniform/round_to_nearest.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::correlated_layer;
using testing::CorrelatedLayer;
using ::testing::HasSubstr;

constexpr Granularity channel{Granularity::Kind::channel, 0};
constexpr Granularity group(std::size_t size) { return {Granularity::Kind::group, size}; }

GptqOptions with(const std::function<void(GptqOptions&)>& change) {
  GptqOptions options;
  options.bits = 4;
  change(options);
  return options;
}

GptqOptions of_4_bits() {
  return with([](auto&) {});
}

CompressedWeight gptq(const GptqOptions& options, ConstMatrixView weight, ConstMatrixView hessian) {
  LayerStats stats;
  stats.hessian = hessian;
  return GptqQuantizer(options).quantize(weight, stats, "w").weight;
}

double gptq_error(const GptqOptions& options, const CorrelatedLayer& layer) {
  const Matrix decoded = decode(gptq(options, layer.weight.view(), layer.hessian.view()));
  return proxy_error(layer.weight.view(), decoded.view(), layer.hessian.view());
}

// Rounding to nearest with the same grids.
CompressedWeight rounding(const GptqOptions& options, ConstMatrixView weight) {
  RoundToNearestOptions plain;
  plain.bits = options.bits;
  plain.symmetric = options.symmetric;
  plain.granularity = options.granularity;
  plain.grid = options.grid;
  plain.scale_storage = options.scale_storage;
  return RoundToNearest(plain).quantize(weight, {}, "w").weight;
}

double share_of_equal(const Matrix& a, const Matrix& b) {
  std::size_t same = 0;
  for (std::size_t k = 0; k < a.size(); ++k) same += a.data()[k] == b.data()[k] ? 1 : 0;
  return static_cast<double>(same) / static_cast<double>(a.size());
}

// A bit of everything.
const std::vector<GptqOptions>& settings() {
  static const std::vector<GptqOptions> all = {
      with([](auto& o) { o.granularity = channel; }),
      with([](auto& o) { o.granularity = channel, o.act_order = true, o.symmetric = true, o.bits = 3; }),
      with([](auto& o) { o.granularity = group(64); }),
      with([](auto& o) { o.granularity = group(40), o.act_order = true, o.bits = 3; }),
      with([](auto& o) { o.granularity = group(40), o.static_groups = true, o.bits = 2; }),
      with([](auto& o) { o.granularity = group(64), o.act_order = true, o.static_groups = true, o.symmetric = true; }),
      with([](auto& o) { o.granularity = group(1000), o.act_order = true; }),
      with([](auto& o) {
        o.granularity = group(24), o.act_order = true, o.scale_storage = ScaleStorage::u8, o.block_size = 50;
      }),
      with([](auto& o) { o.granularity = channel, o.scale_storage = ScaleStorage::u8, o.bits = 5; }),
      with([](auto& o) {
        o.granularity = group(32), o.grid = GridFit::mse, o.bits = 2, o.scale_storage = ScaleStorage::f32;
      }),
      with([](auto& o) { o.granularity = channel, o.grid = GridFit::mse, o.bits = 3, o.act_order = true; }),
      with([](auto& o) { o.granularity = group(32), o.bits = 1, o.symmetric = true; }),
      with([](auto& o) { o.granularity = group(32), o.bits = 8, o.damping = 0.1; }),
  };
  return all;
}

void for_each_setting(const std::function<void(const GptqOptions&)>& check) {
  for (const GptqOptions& options : settings()) {
    SCOPED_TRACE(GptqQuantizer(options).name());
    check(options);
  }
}

TEST(GptqTest, WithADiagonalHessianItIsRoundingToNearest) {
  // R is diagonal: no column can make up for another.
  CorrelatedLayer layer = correlated_layer(50, 200, 1);
  for (std::size_t i = 0; i < 200; ++i) {
    for (std::size_t j = 0; j < 200; ++j) layer.hessian(i, j) = i == j ? layer.hessian(i, j) : 0;
  }
  for_each_setting([&](const GptqOptions& options) {
    GptqOptions changed = options;
    changed.grid = GridFit::minmax;  // the search would weigh columns by H, rounding to nearest doesn't
    changed.act_order =
        options.act_order && (options.static_groups || options.granularity.kind == Granularity::Kind::channel);
    if (options.bits == 1 || options.scale_storage == ScaleStorage::u8) return;  // the same holds for one symmetric bit
    EXPECT_TRUE(testing::same_bytes(gptq(changed, layer.weight.view(), layer.hessian.view()),
                                    rounding(changed, layer.weight.view())));
  });
}

TEST(GptqTest, IsBetterThanRounding) {
  const CorrelatedLayer layer = correlated_layer(70, 200, 2);
  for_each_setting([&](const GptqOptions& options) {
    const Matrix rounded = decode(rounding(options, layer.weight.view()));
    EXPECT_LT(gptq_error(options, layer), 0.6 * proxy_error(layer.weight.view(), rounded.view(), layer.hessian.view()));
  });
}

TEST(GptqTest, MoreBitsHaveASmallerError) {
  const CorrelatedLayer layer = correlated_layer(30, 150, 3);
  for_each_setting([&](const GptqOptions& options) {
    GptqOptions changed = options;
    double last = std::numeric_limits<double>::infinity();
    for (int bits = 2; bits <= 8; ++bits) {
      changed.bits = bits;
      const double error = gptq_error(changed, layer);
      EXPECT_LT(error, last) << bits << " bits";
      last = error;
    }
  });
}

TEST(GptqTest, TakesTheBytesThatItPredicts) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 5}, {19, 129}}) {
    const CorrelatedLayer layer = correlated_layer(static_cast<std::size_t>(rows), static_cast<std::size_t>(cols), 4);
    for_each_setting([&](const GptqOptions& options) {
      const CompressedWeight compressed = gptq(options, layer.weight.view(), layer.hessian.view());
      EXPECT_EQ(payload_bytes(compressed),
                GptqQuantizer(options).predicted_bytes(layer.weight.rows(), layer.weight.cols()));
      EXPECT_EQ(decode(compressed).cols(), layer.weight.cols());
    });
  }
}

TEST(GptqTest, StoresAPermutationOnlyForGroupsInTheOrderOfVisit) {
  GptqOptions options;
  options.bits = 4;
  options.granularity = group(64);
  EXPECT_FALSE(layout_of(options, 8, 200).permuted);
  options.act_order = true;
  EXPECT_TRUE(layout_of(options, 8, 200).permuted);
  EXPECT_FALSE(layout_of(options, 8, 64).permuted);
  options.static_groups = true;
  EXPECT_FALSE(layout_of(options, 8, 200).permuted);
  options.static_groups = false;
  options.granularity = channel;
  EXPECT_FALSE(layout_of(options, 8, 200).permuted);
}

TEST(GptqTest, PermutedRowsGivePermutedResults) {
  const CorrelatedLayer layer = correlated_layer(150, 100, 5);  // more than a slab
  std::vector<std::size_t> order(150);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::rotate(order.begin(), order.begin() + 37, order.end());
  Matrix permuted(150, 100);
  for (std::size_t i = 0; i < 150; ++i) std::copy_n(layer.weight.row(order[i]).data(), 100, permuted.row(i).data());
  for_each_setting([&](const GptqOptions& options) {
    const Matrix decoded = decode(gptq(options, layer.weight.view(), layer.hessian.view()));
    const Matrix other = decode(gptq(options, permuted.view(), layer.hessian.view()));
    Matrix back(150, 100);
    for (std::size_t i = 0; i < 150; ++i) std::copy_n(other.row(i).data(), 100, back.row(order[i]).data());
    // Not all: matrix products may sum in another order in the smaller slab at the end.
    EXPECT_GE(share_of_equal(decoded, back), 0.995);
  });
}

TEST(GptqTest, GivesTheSameBytesAgainAndOnAnyNumberOfThreads) {
  const CorrelatedLayer layer = correlated_layer(300, 150, 6);
  for_each_setting([&](const GptqOptions& options) {
    const std::size_t threads = thread_count();
    set_thread_count(1);
    const CompressedWeight one = gptq(options, layer.weight.view(), layer.hessian.view());
    set_thread_count(3);
    const CompressedWeight three = gptq(options, layer.weight.view(), layer.hessian.view());
    const CompressedWeight again = gptq(options, layer.weight.view(), layer.hessian.view());
    set_thread_count(threads);
    EXPECT_TRUE(testing::same_bytes(one, three));
    EXPECT_TRUE(testing::same_bytes(three, again));
  });
}

TEST(GptqTest, InstructionSetsDifferInFewCodes) {
  const CorrelatedLayer layer = correlated_layer(43, 150, 7);
  for_each_setting([&](const GptqOptions& options) {
    const Matrix chosen = decode(gptq(options, layer.weight.view(), layer.hessian.view()));
    testing::for_each_instruction_set([&](const char* set) {
      EXPECT_GE(share_of_equal(chosen, decode(gptq(options, layer.weight.view(), layer.hessian.view()))), 0.98) << set;
    });
  });
}

TEST(GptqTest, ReadsOnlyTheViewsThatItIsGiven) {
  const CorrelatedLayer wide = correlated_layer(40, 200, 8);
  const auto weight = wide.weight.view().cols_range(60, 90);
  const auto hessian = wide.hessian.view().rows_range(60, 90).cols_range(60, 90);
  Matrix narrow_weight(40, 90), narrow_hessian(90, 90);
  for (std::size_t i = 0; i < 40; ++i) std::copy_n(weight.row(i).data(), 90, narrow_weight.row(i).data());
  for (std::size_t i = 0; i < 90; ++i) std::copy_n(hessian.row(i).data(), 90, narrow_hessian.row(i).data());
  for_each_setting([&](const GptqOptions& options) {
    EXPECT_TRUE(testing::same_bytes(gptq(options, weight, hessian),
                                    gptq(options, narrow_weight.view(), narrow_hessian.view())));
  });
}

TEST(GptqTest, ScaleStorageCostsLittle) {
  const CorrelatedLayer layer = correlated_layer(64, 256, 9);
  for (const bool act_order : {false, true}) {
    for (const int bits : {2, 4}) {
      GptqOptions options;
      options.granularity = group(32);
      options.bits = bits;
      options.act_order = act_order;
      options.scale_storage = ScaleStorage::f32;
      const double exact = gptq_error(options, layer);
      options.scale_storage = ScaleStorage::f16;
      EXPECT_NEAR(gptq_error(options, layer), exact, 0.05 * exact);
      options.scale_storage = ScaleStorage::u8;
      EXPECT_NEAR(gptq_error(options, layer), exact, 0.10 * exact);
    }
  }
}

TEST(GptqTest, DeadColumnsBecomeZeroAndLeaveTheOthersAlone) {
  CorrelatedLayer layer = correlated_layer(20, 90, 10);
  for (std::size_t j = 0; j < 90; ++j) layer.hessian(17, j) = layer.hessian(j, 17) = 0;
  for_each_setting([&](const GptqOptions& options) {
    if (options.bits == 1) return;  // has no level at zero
    const Matrix decoded = decode(gptq(options, layer.weight.view(), layer.hessian.view()));
    for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(decoded(i, 17), 0);
  });
}

TEST(GptqTest, KeepsZerosAndTinyWeights) {
  CorrelatedLayer layer = correlated_layer(6, 90, 11);
  layer.weight.fill(0);
  for_each_setting([&](const GptqOptions& options) {
    if (options.bits == 1 && options.scale_storage != ScaleStorage::u8) return;
    layer.weight.fill(0);
    const Matrix zeros = decode(gptq(options, layer.weight.view(), layer.hessian.view()));
    for (const float w : zeros.span()) EXPECT_EQ(w, 0);
    layer.weight(2, 3) = 1e-8f;
    const Matrix tiny = decode(gptq(options, layer.weight.view(), layer.hessian.view()));
    for (const float w : tiny.span()) EXPECT_LE(std::abs(w), 1e-6f);
  });
}

TEST(GptqTest, RaisedDampingIsAWarning) {
  CorrelatedLayer layer = correlated_layer(4, 2, 12);
  layer.hessian(0, 0) = layer.hessian(1, 1) = 1;
  layer.hessian(0, 1) = layer.hessian(1, 0) = 1.05f;
  LayerStats stats;
  stats.hessian = layer.hessian.view();
  const auto quantized = GptqQuantizer(of_4_bits()).quantize(layer.weight.view(), stats, "model.layers.0.mlp.up_proj");
  EXPECT_THAT(quantized.warnings, ::testing::ElementsAre(::testing::AllOf(HasSubstr("model.layers.0.mlp.up_proj"),
                                                                          HasSubstr("damping"), HasSubstr("0.1"))));
}

TEST(GptqTest, RefusesWhatItCannotUse) {
  const CorrelatedLayer layer = correlated_layer(70, 40, 13);
  const auto refusal = [&](ConstMatrixView weight, ConstMatrixView hessian) -> std::string {
    try {
      LayerStats stats;
      stats.hessian = hessian;
      GptqQuantizer(of_4_bits()).quantize(weight, stats, "model.layers.3.mlp.up_proj");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal(layer.weight.view(), layer.hessian.view()), "accepted");
  EXPECT_THAT(refusal(layer.weight.view(), {}), ::testing::AllOf(HasSubstr("model.layers.3.mlp.up_proj"),
                                                                 HasSubstr("no Hessian"), HasSubstr("calibrate")));
  EXPECT_THAT(refusal(layer.weight.view(), layer.hessian.view().rows_range(0, 39)), HasSubstr("39 x 40"));
  EXPECT_THAT(refusal(layer.weight.view().cols_range(0, 39), layer.hessian.view()), HasSubstr("39 x 39"));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Matrix weight = layer.weight.clone();
    weight(66, 31) = bad;
    EXPECT_THAT(refusal(weight.view(), layer.hessian.view()),
                HasSubstr("model.layers.3.mlp.up_proj, row 66, column 31"));
  }
  Matrix huge = layer.weight.clone();
  huge(66, 31) = 3e38f;  // the scale overflows f16
  EXPECT_THAT(refusal(huge.view(), layer.hessian.view()), HasSubstr("model.layers.3.mlp.up_proj, row 66"));
}

TEST(GptqTest, RefusesOptionsOutOfRange) {
  const auto refuses = [](const std::function<void(GptqOptions&)>& change) {
    EXPECT_THROW(GptqQuantizer(with(change)), Error);
  };
  EXPECT_NO_THROW(GptqQuantizer{of_4_bits()});
  refuses([](auto& o) { o.bits = std::nullopt; });
  refuses([](auto& o) { o.bits = 0; });
  refuses([](auto& o) { o.bits = 9; });
  refuses([](auto& o) { o.granularity.kind = Granularity::Kind::tensor; });
  refuses([](auto& o) { o.granularity.group_size = 0; });
  refuses([](auto& o) { o.block_size = 0; });
  refuses([](auto& o) { o.damping = -1; });
  refuses([](auto& o) { o.damping = 1.5; });
  refuses([](auto& o) { o.damping = std::numeric_limits<double>::quiet_NaN(); });
}

TEST(GptqTest, Names) {
  EXPECT_EQ(GptqQuantizer(of_4_bits()).name(), "gptq:bits=4,group=64,asym");
  EXPECT_EQ(GptqQuantizer(with([](auto& o) {
              o.bits = 3, o.symmetric = true, o.granularity = channel, o.grid = GridFit::mse;
              o.scale_storage = ScaleStorage::u8, o.act_order = true, o.static_groups = true;
              o.damping = 0.00001, o.block_size = 64;
            })).name(),
            "gptq:bits=3,group=channel,sym,grid=mse,scales=u8,act_order,static_groups,damping=1e-05,block_size=64");
}

// q_proj of the first block of a real model with the true Hessian of its inputs: the normalised embeddings of tokens.
TEST(SlowGptqRealLayerTest, IsBetterThanRounding) {
  LCOMP_REQUIRE(testing::smollm2() / "model.safetensors");
  const SafetensorsFile model(testing::smollm2() / "model.safetensors");
  const Matrix embedding = testing::read_matrix(model, "model.embed_tokens.weight");
  const SafetensorsEntry& norm = model.entry("model.layers.0.input_layernorm.weight");
  std::vector<float> gain(norm.shape.at(0));
  to_float(norm, 0, gain);
  const std::size_t cols = gain.size();
  CorrelatedLayer layer;
  layer.weight = testing::read_matrix(model, "model.layers.0.self_attn.q_proj.weight");
  layer.hessian = Matrix(cols, cols);
  std::vector<double> sum(cols * cols, 0.0), x(cols);
  constexpr std::size_t tokens = 1024;
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto row = embedding.row(t * t % 40000);  // frequent tokens come first in the vocabulary
    double square = 0;
    for (const float v : row) square += static_cast<double>(v) * static_cast<double>(v);
    const double scale = 1 / std::sqrt(square / static_cast<double>(cols) + 1e-5);
    for (std::size_t j = 0; j < cols; ++j) x[j] = static_cast<double>(row[j]) * scale * static_cast<double>(gain[j]);
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = 0; j < cols; ++j) sum[i * cols + j] += x[i] * x[j];
    }
  }
  for (std::size_t k = 0; k < sum.size(); ++k) layer.hessian.data()[k] = static_cast<float>(2 * sum[k] / tokens);
  for_each_setting([&](const GptqOptions& options) {
    const Matrix rounded = decode(rounding(options, layer.weight.view()));
    EXPECT_LT(gptq_error(options, layer), 0.7 * proxy_error(layer.weight.view(), rounded.view(), layer.hessian.view()));
  });
}

}  // namespace
}  // namespace lcomp
