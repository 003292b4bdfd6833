// What 16-bit storage of the residual stream does to the Hessians of a real model, beside what other texts do to them.
#include <gtest/gtest.h>

#include <cmath>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/calibration/calibration_texts.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

// ||A - B|| / ||B||, Frobenius.
double relative_distance(ConstMatrixView a, ConstMatrixView b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < b.rows(); ++i) {
    for (std::size_t j = 0; j < b.cols(); ++j) {
      const double d = static_cast<double>(a(i, j)) - static_cast<double>(b(i, j));
      difference += d * d;
      size += static_cast<double>(b(i, j)) * static_cast<double>(b(i, j));
    }
  }
  return std::sqrt(difference / size);
}

TEST(SlowSmolLM2Calibration, SixteenBitsDisturbLessThanOtherTextsDo) {
  LCOMP_REQUIRE(testing::smollm2());
  LCOMP_REQUIRE(testing::data("c4/c4-train.jsonl"));
  const testing::TemporaryFolder folder;
  Decoder decoder(open_model(testing::smollm2()));
  const auto tokenizer = load_tokenizer(testing::smollm2());
  CalibrationTextOptions texts;
  texts.files = {testing::data("c4/c4-train.jsonl")};
  texts.sequences = 8;
  texts.tokens = 256;
  const TokenBatch batch = read_calibration_texts(texts, *tokenizer).batch;
  texts.seed = 1;
  const TokenBatch others = read_calibration_texts(texts, *tokenizer).batch;

  const auto half = calibrate(decoder, batch, folder / "half");
  CalibrationOptions exact;
  exact.storage = ResidualStorage::float32;
  const auto full = calibrate(decoder, batch, folder / "full", exact);
  const auto sampled = calibrate(decoder, others, folder / "sampled", exact);
  for (const std::string component :
       {"model.layers.0.self_attn.q_proj", "model.layers.15.mlp.down_proj", "model.layers.29.mlp.down_proj",
        "model.layers.29.self_attn.o_proj", "model.embed_tokens"}) {
    const auto h = full.statistics(component);
    const double storage = relative_distance(half.statistics(component)->hessian.view(), h->hessian.view());
    const double sampling = relative_distance(sampled.statistics(component)->hessian.view(), h->hessian.view());
    EXPECT_LT(storage, 2e-3) << component;
    EXPECT_GT(sampling, 20 * storage) << component;
  }
}

}  // namespace
}  // namespace lcomp
