#include <gtest/gtest.h>

#include <cmath>

#include <nlohmann/json.hpp>

#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"
#include "quantizers/uniform/round_to_nearest.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

Matrix read(const SafetensorsFile& file, const std::string& name, std::size_t most_rows = 1000) {
  const SafetensorsEntry& entry = file.entry(name);
  Matrix out(std::min(most_rows, entry.shape[0]), entry.shape[1]);
  to_float(entry, 0, out.span());
  return out;
}

RoundToNearestOptions options_of(const nlohmann::json& c) {
  RoundToNearestOptions options;
  options.bits = c.at("bits");
  options.symmetric = c.at("sym");
  options.scale_storage = ScaleStorage::f32;
  const std::string granularity = c.at("grain");
  if (granularity == "channel") {
    options.granularity.kind = Granularity::Kind::channel;
  } else if (granularity == "tensor") {
    options.granularity.kind = Granularity::Kind::tensor;
  } else {
    options.granularity.group_size = std::stoul(granularity.substr(1));
  }
  return options;
}

// The reference (quant.py of IST-DASLab/gptq) computes the same float32 operations in the same order: scales and zero
// points are equal to the bit. Q = scale * (q - zero) is one rounded product there and here, so that it is, too.
TEST(RoundToNearestGoldenTest, EqualsTheReferenceToTheBit) {
  LCOMP_REQUIRE(testing::golden("gptq/rtn/cases.json"));
  const nlohmann::json cases = parse_json_file(testing::golden("gptq/rtn/cases.json")).at("cases");
  const SafetensorsFile data(testing::golden("gptq/data.safetensors"));
  const SafetensorsFile reference(testing::golden("gptq/rtn/rtn.safetensors"));
  const Matrix weight = read(data, "W", 32);
  const Matrix edge_weight = read(reference, "edge.W");
  std::size_t compared = 0;
  for (const nlohmann::json& c : cases) {
    const std::string name = c.at("name");
    SCOPED_TRACE(name);
    const bool edge = name.starts_with("edge");
    const Matrix& w = edge ? edge_weight : weight;
    const RoundToNearestOptions options = options_of(c);
    const CompressedWeight compressed = RoundToNearest(options).quantize(w.view(), {}, name).weight;
    const Matrix decoded = decode(compressed);
    const auto& stored = std::get<GroupedIntegerWeight>(compressed);
    const std::vector<float> scales = decode_scales(view(stored));
    const std::vector<float> zero_points = decode_zero_points(view(stored));
    const Matrix expected = read(reference, name + ".Q");
    const Matrix expected_scales = read(reference, name + ".scale");
    const Matrix expected_zeros = read(reference, name + ".zero");
    ASSERT_EQ(scales.size(), expected_scales.size());
    const std::size_t per_row = groups_per_row(stored);
    for (std::size_t i = 0; i < w.rows(); ++i) {
      // Rows 0 and 3 hold no negative value: there the reference's symmetric grid is half as wide as it should be.
      if (edge && options.symmetric && (i == 0 || i == 3)) continue;
      for (std::size_t j = 0; j < w.cols(); ++j) ASSERT_EQ(decoded(i, j), expected(i, j)) << i << ", " << j;
      for (std::size_t g = first_group(stored, i); g < first_group(stored, i) + per_row; ++g) {
        ASSERT_EQ(scales[g], expected_scales.data()[g]);
        ASSERT_EQ(zero_points[g], expected_zeros.data()[g]);
      }
    }
    ++compared;
  }
  EXPECT_EQ(compared, cases.size());
  EXPECT_GE(compared, 70u);
}

TEST(RoundToNearestGoldenTest, SymmetricRowsWithoutNegativeValuesAreBetterThanTheReference) {
  LCOMP_REQUIRE(testing::golden("gptq/rtn/cases.json"));
  const SafetensorsFile reference(testing::golden("gptq/rtn/rtn.safetensors"));
  const Matrix weight = read(reference, "edge.W");
  for (const int bits : {4, 8}) {  // at 2 bits, one positive level is left either way
    RoundToNearestOptions options;
    options.bits = bits;
    options.symmetric = true;
    options.granularity.kind = Granularity::Kind::channel;
    options.scale_storage = ScaleStorage::f32;
    const Matrix ours = decode(RoundToNearest(options).quantize(weight.view(), {}, "edge").weight);
    const Matrix theirs = read(reference, "edge-b" + std::to_string(bits) + "-sym-channel.Q");
    for (const std::size_t i : {std::size_t{0}, std::size_t{3}}) {
      double our_error = 0;
      double their_error = 0;
      for (std::size_t j = 0; j < weight.cols(); ++j) {
        our_error += std::pow(static_cast<double>(ours(i, j) - weight(i, j)), 2);
        their_error += std::pow(static_cast<double>(theirs(i, j) - weight(i, j)), 2);
      }
      EXPECT_LT(our_error, their_error) << bits << " bits, row " << i;
    }
  }
}

}  // namespace
}  // namespace lcomp
