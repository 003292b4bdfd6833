#include "lcomp/calibration/sensitivity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/gradients.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// The sums from their definitions, in double.
struct ExactSums : GradientVisitor {
  struct Component {
    std::size_t out = 0, in = 0;
    std::vector<double> outputs, rows, columns;
    std::vector<std::vector<double>> hessians;  // [group][in * in]
  };
  std::map<std::string, Component> of;
  std::string embedding;
  std::size_t vocab = 0, hidden = 0, groups = 4;
  double scored = 0, tokens = 0;

  Component& component(const std::string& name, std::size_t out, std::size_t in) {
    Component& c = of[name];
    if (c.out == 0) {
      c = {out, in, std::vector<double>(out), std::vector<double>(out), std::vector<double>(in), {}};
    }
    return c;
  }
  void linear_gradient(const LinearGradient& gradient) override {
    for (const ComponentOutputs& outputs : gradient.components) {
      Component& c = component(outputs.component, outputs.count, gradient.input.cols());
      c.hessians.resize(std::min(groups, c.out), std::vector<double>(c.in * c.in));
      for (std::size_t t = 0; t < gradient.input.rows(); ++t) {
        for (std::size_t k = 0; k < c.hessians.size(); ++k) {
          const std::size_t begin = row_group_begin(c.out, c.hessians.size(), k);
          const std::size_t end = row_group_begin(c.out, c.hessians.size(), k + 1);
          double weight = 0;
          for (std::size_t i = begin; i < end; ++i) {
            const double g = scored * gradient.output_gradient(t, outputs.begin + i);
            weight += g * g / static_cast<double>(end - begin);
            c.outputs[i] += g * g / tokens;
            for (std::size_t j = 0; j < c.in; ++j) {
              const double x = gradient.input(t, j);
              c.rows[i] += g * g * x * x / tokens;
              c.columns[j] += g * g * x * x / tokens;
            }
          }
          for (std::size_t a = 0; a < c.in; ++a) {
            for (std::size_t b = 0; b < c.in; ++b) {
              c.hessians[k][a * c.in + b] +=
                  2 * weight * static_cast<double>(gradient.input(t, a)) * gradient.input(t, b) / tokens;
            }
          }
        }
      }
    }
  }
  void embedding_gradient(std::size_t, std::span<const std::int32_t> ids, ConstMatrixView gradient) override {
    Component& c = component(embedding, vocab, hidden);
    for (std::size_t t = 0; t < ids.size(); ++t) {
      for (std::size_t j = 0; j < hidden; ++j) {
        const double g = scored * gradient(t, j);
        c.rows[static_cast<std::size_t>(ids[t])] += g * g / tokens;
        c.columns[j] += g * g / tokens;
      }
    }
  }
};

void expect_near(const std::vector<float>& found, const std::vector<double>& exact, const std::string& what) {
  ASSERT_EQ(found.size(), exact.size()) << what;
  const double largest = *std::ranges::max_element(exact);
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(found[i], exact[i], 2e-3 * largest) << what << ", " << i;
}

struct SensitivityTest : ::testing::TestWithParam<std::string> {
  testing::TemporaryFolder folder;
  ModelFolder model;
  TokenBatch batch;

  void SetUp() override {
    LCOMP_REQUIRE(testing::golden("families/" + GetParam()));
    model = open_model(testing::golden("families/" + GetParam()));
    batch = testing::random_tokens(60, model.config.vocab_size);
    Decoder decoder(model);
    calibrate(decoder, batch, folder / "archive");
  }
};

TEST_P(SensitivityTest, IsWhatItsDefinitionSays) {
  for (const SensitivityCost cost : {SensitivityCost::divergence, SensitivityCost::cross_entropy}) {
    Decoder decoder(model);
    SensitivityOptions options;
    options.cost = cost;
    options.row_groups = 3;
    add_sensitivities(decoder, batch, folder / "archive", options);

    SampledLabelCost sampled(batch.tokens(), 0);
    NextTokenCost next(batch);
    const bool divergence = cost == SensitivityCost::divergence;
    ExactSums exact;
    exact.embedding = "model.embed_tokens";
    exact.vocab = model.config.vocab_size;
    exact.hidden = model.config.hidden_size;
    exact.groups = 3;
    exact.tokens = static_cast<double>(batch.tokens());
    exact.scored = static_cast<double>(divergence ? batch.tokens() : batch.tokens() - batch.sequences());
    LogitCost& of_batch = divergence ? static_cast<LogitCost&>(sampled) : next;
    gradients(decoder, batch, of_batch, exact);

    const CalibrationArchive archive = CalibrationArchive::open(folder / "archive");
    EXPECT_TRUE(archive.has_sensitivities(cost));
    EXPECT_EQ(archive.sensitive_components(cost).size(), exact.of.size());
    for (const auto& [component, sums] : exact.of) {
      const Sensitivity found = archive.sensitivity(cost, component);
      expect_near(found.outputs, sums.outputs, component + " outputs");
      expect_near(found.rows, sums.rows, component + " rows");
      expect_near(found.columns, sums.columns, component + " columns");
      ASSERT_EQ(archive.guided_groups(cost, component), sums.hessians.size()) << component;
      for (std::size_t k = 0; k < sums.hessians.size(); ++k) {
        const Matrix hessian = archive.guided_hessian(cost, component, k);
        double largest = 0;
        for (const double h : sums.hessians[k]) largest = std::max(largest, std::abs(h));
        for (std::size_t i = 0; i < hessian.size(); ++i) {
          ASSERT_NEAR(hessian.span()[i], sums.hessians[k][i], 2e-3 * largest) << component << " group " << k;
        }
      }
    }
  }
}

// sum_k |J_k| H_k(j, j) / 2 = columns_j
TEST_P(SensitivityTest, GuidedHessiansAgreeWithColumns) {
  Decoder decoder(model);
  add_sensitivities(decoder, batch, folder / "archive");
  const CalibrationArchive archive = CalibrationArchive::open(folder / "archive");
  const auto cost = SensitivityCost::divergence;
  for (const std::string& component : archive.sensitive_components(cost)) {
    if (component == "model.embed_tokens") continue;  // has another use, without Hessian
    const Sensitivity found = archive.sensitivity(cost, component);
    const std::size_t groups = archive.guided_groups(cost, component);
    std::vector<double> diagonal(found.columns.size());
    for (std::size_t k = 0; k < groups; ++k) {
      const Matrix hessian = archive.guided_hessian(cost, component, k);
      const auto rows = static_cast<double>(row_group_begin(found.rows.size(), groups, k + 1) -
                                            row_group_begin(found.rows.size(), groups, k));
      for (std::size_t j = 0; j < diagonal.size(); ++j) diagonal[j] += rows * hessian(j, j) / 2;
    }
    expect_near(found.columns, diagonal, component);
  }
}

TEST_P(SensitivityTest, GoesOnWhereItWasKilled) {
  Decoder decoder(model);
  add_sensitivities(decoder, batch, folder / "archive");
  const auto cost = SensitivityCost::divergence;
  const auto sums = [&] {
    const CalibrationArchive archive = CalibrationArchive::open(folder / "archive");
    std::vector<float> all;
    for (const std::string& component : archive.sensitive_components(cost)) {
      const Sensitivity found = archive.sensitivity(cost, component);
      all.insert(all.end(), found.rows.begin(), found.rows.end());
      if (archive.guided_groups(cost, component) == 0) continue;
      const Matrix hessian = archive.guided_hessian(cost, component, 0);
      all.insert(all.end(), hessian.span().begin(), hessian.span().end());
    }
    return all;
  };
  const std::vector<float> whole = sums();
  fs::remove(folder / "archive" / "sensitivity-divergence-embedding.h5");
  fs::remove(folder / "archive" / "sensitivity-divergence-layer-00000.h5");
  fs::remove(folder / "archive" / "sensitivity%2Fdivergence%2Fmodel.embed_tokens.h5");
  EXPECT_FALSE(CalibrationArchive::open(folder / "archive").has_sensitivities(cost));
  add_sensitivities(decoder, batch, folder / "archive");
  EXPECT_EQ(sums(), whole);
}

TEST_P(SensitivityTest, MoreDrawsAreOtherDraws) {
  Decoder decoder(model);
  SensitivityOptions options;
  options.draws = 3;
  add_sensitivities(decoder, batch, folder / "archive", options);
  const auto cost = SensitivityCost::divergence;
  const Sensitivity three = CalibrationArchive::open(folder / "archive").sensitivity(cost, "model.embed_tokens");
  fs::remove_all(folder / "archive");
  calibrate(decoder, batch, folder / "archive");
  add_sensitivities(decoder, batch, folder / "archive");
  const Sensitivity one = CalibrationArchive::open(folder / "archive").sensitivity(cost, "model.embed_tokens");
  double a = 0, b = 0;
  for (std::size_t j = 0; j < one.columns.size(); ++j) {
    a += one.columns[j];
    b += three.columns[j];
  }
  EXPECT_NE(a, b);
  EXPECT_NEAR(a / b, 1, 0.5);
}

TEST_P(SensitivityTest, OtherOptionsTextsAndModelsAreRefused) {
  Decoder decoder(model);
  add_sensitivities(decoder, batch, folder / "archive");
  SensitivityOptions options;
  options.row_groups = 2;
  try {
    add_sensitivities(decoder, batch, folder / "archive", options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.parts().found, HasSubstr("4 row groups"));
    EXPECT_THAT(error.parts().expected, HasSubstr("2 row groups"));
  }
  EXPECT_THROW(add_sensitivities(decoder, testing::random_tokens(70, model.config.vocab_size, 9), folder / "archive"),
               Error);
  options.cost = SensitivityCost::cross_entropy;
  options.draws = 2;
  EXPECT_THROW(add_sensitivities(decoder, batch, folder / "archive", options), Error);
  const CalibrationArchive archive = CalibrationArchive::open(folder / "archive");
  EXPECT_THROW(archive.sensitivity(SensitivityCost::cross_entropy, "model.embed_tokens"), Error);
  EXPECT_THROW(archive.sensitivity(SensitivityCost::divergence, "model.nothing"), Error);
  EXPECT_THROW(archive.guided_hessian(SensitivityCost::divergence, archive.components().front(), 4), Error);
}

INSTANTIATE_TEST_SUITE_P(Families, SensitivityTest, ::testing::Values("llama-tied", "mixtral", "phi"),
                         [](const auto& family) {
                           std::string text = family.param;
                           std::ranges::replace(text, '-', '_');
                           return text;
                         });

}  // namespace
}  // namespace lcomp
