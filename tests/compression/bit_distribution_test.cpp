#include "lcomp/compression/bit_distribution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "lcomp/compression/compress_model.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/format.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::golden;

std::uint64_t total(const BitHistogram& histogram) {
  return std::accumulate(histogram.begin(), histogram.end(), std::uint64_t{0});
}

TEST(BitHistogram, BinsAreQuarterBitsAndTheLastHasTheRest) {
  const BitHistogram histogram = bit_histogram({0, 0.24, 0.25, 4.25, 4.26, 7.99, 8, 16});
  EXPECT_EQ(histogram[0], 2u);
  EXPECT_EQ(histogram[1], 1u);
  EXPECT_EQ(histogram[17], 2u);
  EXPECT_EQ(histogram[31], 1u);
  EXPECT_EQ(histogram[32], 2u);
}

TEST(BitDistribution, CountsWhatTheFileHolds) {
  LCOMP_REQUIRE(golden("families/llama-tied"));
  testing::TemporaryFolder folder;
  const auto plan = CompressionPlan::from_json({{"quantizer", {{"method", "rtn"}, {"bits", 4}, {"group_size", 16}}},
                                                {"components", {{"*.down_proj", {{"bits", 2}}}}}},
                                               "plan");
  const ModelFolder original = open_model(golden("families/llama-tied"));
  const CompressionReport report = compress_model(original, plan, folder / "out");
  const ModelFolder compressed = open_model(folder / "out");
  const auto distribution = bit_distribution(compressed);
  ASSERT_EQ(distribution.size(), report.components.size());
  std::set<std::string> roles;
  for (std::size_t i = 0; i < distribution.size(); ++i) {
    const ComponentBits& entry = distribution[i];
    EXPECT_EQ(entry.name, report.components[i].name);
    EXPECT_EQ(entry.bytes, report.components[i].bytes);
    EXPECT_EQ(total(entry.rows_by_bits), entry.rows);
    EXPECT_EQ(total(entry.columns_by_bits), entry.cols);
    EXPECT_EQ(entry.layer.has_value(), entry.role != "embedding") << entry.name;
    EXPECT_EQ(entry.bits_per_weight < 4, entry.role == "down") << entry.name;
    roles.insert(entry.role);
  }
  EXPECT_EQ(roles, (std::set<std::string>{"embedding", "q", "k", "v", "o", "gate", "up", "down"}));

  const auto again = bit_distribution_from_json(to_json(distribution), "test");
  EXPECT_EQ(to_json(again), to_json(distribution));
  EXPECT_THROW(bit_distribution_from_json({{"components", {1}}}, "test"), Error);
  EXPECT_THROW(bit_distribution(original), Error);
}

// Rows and columns of every format average to what the weight takes.
TEST(BitDistribution, RowsAndColumnsAverageToTheWhole) {
  LCOMP_REQUIRE(golden("families/llama-tied"));
  testing::TemporaryFolder folder;
  const ModelFolder original = open_model(golden("families/llama-tied"));
  for (const char* method : {"rtn:bits=3,group=16", "log:bits=4,group=16", "nf:bits=3,group=16", "codebook:bits=2",
                             "rotate+rtn:bits=4,group=16", "f16"}) {
    const auto plan = CompressionPlan::from_json({{"quantizer", method}}, "plan");
    compress_model(original, plan, folder / "out", {.replace = true});
    const CompressedFolder stored(folder / "out");
    for (const auto& component : bit_distribution(open_model(folder / "out"))) {
      const RowAndColumnBits bits = row_and_column_bits(stored.weight(component.name + ".weight"));
      ASSERT_EQ(bits.rows.size(), component.rows);
      ASSERT_EQ(bits.columns.size(), component.cols);
      const auto mean = [](const std::vector<double>& values) {
        return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
      };
      EXPECT_NEAR(mean(bits.rows), component.bits_per_weight, 1e-9) << method << " " << component.name;
      EXPECT_NEAR(mean(bits.columns), component.bits_per_weight, 1e-9) << method << " " << component.name;
    }
  }
}

TEST(BitDistribution, ColumnsOfBandsHaveTheirWidths) {
  // 40 columns in bands of 4 and 2 bits, symmetric, reversed: stored column j is column 39 - j. A scale takes 8 bits of
  // a row: 1/4 bit for each of 32 columns, 1 bit for each of 8.
  BandedIntegerWeight weight = make_banded_integer(20, 40, true, std::vector<std::uint8_t>{4, 2}, "w");
  std::vector<std::uint32_t> reversed(40);
  std::iota(reversed.rbegin(), reversed.rend(), 0u);
  set_permutation(weight, reversed);
  const CompressedWeight stored = weight;
  const RowAndColumnBits bits = row_and_column_bits(view(stored));
  ASSERT_EQ(bits.columns.size(), 40u);
  EXPECT_NEAR(bits.columns[39] - bits.columns[0], (4 + 0.25) - (2 + 1), 1e-9);
  EXPECT_EQ(bits.columns[8], bits.columns[39]);
  EXPECT_EQ(bits.columns[7], bits.columns[0]);
  const double all = 8 * static_cast<double>(payload_bytes(stored)) / (20 * 40);
  EXPECT_NEAR(std::accumulate(bits.columns.begin(), bits.columns.end(), 0.0) / 40, all, 1e-9);
  EXPECT_THAT(bits.rows, ::testing::Each(::testing::DoubleNear(all, 1e-9)));
}

TEST(BitDistribution, FusedTensorsNameWhatTheyHold) {
  LCOMP_REQUIRE(golden("families/phi3"));
  testing::TemporaryFolder folder;
  const auto plan = CompressionPlan::from_json({{"quantizer", "f16"}}, "plan");
  compress_model(open_model(golden("families/phi3")), plan, folder / "out");
  std::set<std::string> roles;
  for (const auto& entry : bit_distribution(open_model(folder / "out"))) roles.insert(entry.role);
  EXPECT_TRUE(roles.contains("qkv") && roles.contains("gate+up") && roles.contains("head"))
      << ::testing::PrintToString(roles);
}

}  // namespace
}  // namespace lcomp
