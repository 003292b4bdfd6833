// Which settings leave their size open, and what is kept of a component while sizes are found.
#include "compression/allocation/budgeted_kinds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "lcomp/compression/compress_model.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "plans.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

TEST(BudgetedKindsTest, ASettingIsOpenWhereItsSizeIsMissing) {
  const auto open = [](const char* method) { return open_size(parse_quantizer_setting(method, "test")); };
  for (const char* method : {"rtn", "gptq:group=32", "nf", "codebook", "lnq", "rotate+rtn"}) {
    EXPECT_EQ(open(method), OpenSize::width) << method;
  }
  EXPECT_EQ(open("banded:sym"), OpenSize::bands);
  EXPECT_EQ(open("rate:trellis=0"), OpenSize::precision);
  for (const char* method : {"f16", "rtn:bits=4", "rtn:bits=16", "banded:bits=3", "rate:bits=3", "rate:precision=6"}) {
    EXPECT_EQ(open(method), std::nullopt) << method;
  }
}

TEST(BudgetedKindsTest, EachHasAName) {
  const std::vector<std::string_view> names = budgeted_kind_names();
  EXPECT_EQ(std::set<std::string_view>(names.begin(), names.end()).size(), names.size());
  for (const OpenSize open : {OpenSize::width, OpenSize::bands, OpenSize::precision}) {
    EXPECT_THAT(names, ::testing::Contains(budgeted_kind(open).traits().name));
  }
}

TEST(BudgetedKindsTest, OneErrorWhereABudgetNeedsStatistics) {
  LCOMP_REQUIRE(testing::golden("families/llama2"));
  const ModelFolder model = open_model(testing::golden("families/llama2"));
  testing::TemporaryFolder folder;
  for (const auto& [method, kind] :
       {std::pair("rtn:group=16", "fixed width"), {"banded", "banded"}, {"rate", "rate-coded"}}) {
    const CompressionPlan plan = testing::plan_of(
        nlohmann::json{{"quantizer", method}, {"target", {{"bits_per_weight", 6}}}, {"allocator", "across"}});
    EXPECT_THAT(testing::message([&] { compress_model(model, plan, folder / "out"); }),
                HasSubstr(std::string("a budget for ") + kind + " components without statistics"));
  }
}

struct KeptFactorsTest : ::testing::Test {
  static constexpr std::size_t rows = 24, cols = 16;
  Matrix weight = Matrix(rows, cols), hessian = Matrix(cols, cols);
  RateCodedOptions options;
  int asked = 0;

  KeptFactorsTest() {
    Rng rng(3);
    for (float& w : weight.span()) w = static_cast<float>(rng.normal());
    hessian.fill(0.25f);
    for (std::size_t j = 0; j < cols; ++j) hessian(j, j) = 1 + static_cast<float>(j);
  }
  std::shared_ptr<const LayerImportance> shares(KeptFactors& kept, const std::string& component = "w") {
    return kept.importance(weight.view(), options, component, [&] {
      ++asked;
      auto known = std::make_shared<LayerStats>();
      known->hessian = hessian.view();
      return known;
    });
  }
};

TEST_F(KeptFactorsTest, FindsEachOnce) {
  KeptFactors kept;
  const auto first = shares(kept);
  options.row_exponent = 0.2;  // what learning changes is not in them
  options.precision_offset = 1;
  options.precision = 3;
  EXPECT_EQ(shares(kept), first);
  EXPECT_EQ(asked, 1);
  EXPECT_NE(shares(kept, "another"), first);
  options.damping = 0.1;
  EXPECT_NE(shares(kept), first) << "of other options";
  EXPECT_EQ(asked, 3);
}

TEST_F(KeptFactorsTest, FindsWhatDoesNotFitAgain) {
  KeptFactors kept(cols * cols * sizeof(float));  // without room for row importance
  const auto first = shares(kept), second = shares(kept);
  EXPECT_NE(first, second);
  EXPECT_EQ(asked, 2);
  options.precision = 8;
  const RateCodedProblem a(weight.view(), first, options, "w"), b(weight.view(), second, options, "w");
  const Matrix one = decode(a.quantize(8)), other = decode(b.quantize(8));
  EXPECT_TRUE(std::ranges::equal(one.span(), other.span()));
}

}  // namespace
}  // namespace lcomp
