#include "lcomp/formats/transformed_weight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "core/instruction_sets.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/hadamard.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::uint8_t> halves(const std::vector<float>& values) {
  std::vector<std::uint8_t> bytes;
  for (const float value : values) {
    bytes.push_back(static_cast<std::uint8_t>(float_to_half(value) & 255));
    bytes.push_back(static_cast<std::uint8_t>(float_to_half(value) >> 8));
  }
  return bytes;
}

std::vector<float> random_signs(std::size_t size, Rng& rng) {
  std::vector<float> signs(size);
  for (float& sign : signs) sign = rng.below(2) == 0 ? 1.0f : -1.0f;
  return signs;
}

GroupedIntegerWeight random_base(std::size_t rows, std::size_t cols, Rng& rng) {
  GroupedIntegerLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = 3;
  layout.group_size = 16;
  GroupedIntegerWeight base = make_grouped_integer(layout, "w");
  for (auto& byte : base.codes) byte = static_cast<std::uint8_t>(rng.below(256));
  for (std::size_t k = 0; k < base.scales.size(); k += 2) {
    const std::uint16_t bits = float_to_half(static_cast<float>(rng.uniform(0.01, 0.1)));
    std::memcpy(&base.scales[k], &bits, 2);
  }
  return base;
}

// All three transforms on a random base.
TransformedWeight random_transformed(std::size_t rows, std::size_t cols, std::size_t input_block,
                                     std::size_t output_block, std::uint64_t seed) {
  Rng rng(seed);
  TransformedWeight weight;
  weight.rows = rows;
  weight.cols = cols;
  weight.transform = {true, input_block, output_block};
  weight.base = random_base(rows, cols, rng);
  std::vector<float> scales(cols);
  for (float& scale : scales) scale = static_cast<float>(std::exp(rng.normal()));
  weight.input_scales = halves(scales);
  weight.input_signs = encode_signs(random_signs(cols, rng));
  weight.output_signs = encode_signs(random_signs(rows, rng));
  return weight;
}

// Entry (i, j) of the block-diagonal matrix with blocks H_block, from the fast product's columns.
class BlockHadamard {
 public:
  explicit BlockHadamard(std::size_t block) : units_(block, block), block_(block) {
    units_.fill(0);
    for (std::size_t i = 0; i < block; ++i) units_(i, i) = 1;
    hadamard_along_columns(units_.view(), block, HadamardProduct::plain);
  }
  double operator()(std::size_t i, std::size_t j) const {
    return i / block_ == j / block_ ? static_cast<double>(units_(i % block_, j % block_)) : 0;
  }

 private:
  Matrix units_;
  std::size_t block_;
};

// S_out H_out^T base H_in S_in diag(c), in double, as matrices.
std::vector<double> decoded_by_definition(const TransformedWeight& weight) {
  const Matrix base = decode(as_view(view(weight).base));
  const BlockHadamard h_in(weight.transform.input_block);
  const BlockHadamard h_out(weight.transform.output_block);
  const auto signs_in = decode_signs(weight.input_signs, weight.cols);
  const auto signs_out = decode_signs(weight.output_signs, weight.rows);
  std::vector<double> half_way(weight.rows * weight.cols, 0.0), out(half_way);
  for (std::size_t i = 0; i < weight.rows; ++i) {
    for (std::size_t k = 0; k < weight.rows; ++k) {
      for (std::size_t j = 0; j < weight.cols; ++j)
        half_way[i * weight.cols + j] += h_out(k, i) * static_cast<double>(base(k, j));
    }
  }
  for (std::size_t i = 0; i < weight.rows; ++i) {
    for (std::size_t j = 0; j < weight.cols; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < weight.cols; ++k) sum += half_way[i * weight.cols + k] * h_in(k, j);
      std::uint16_t scale = 0;
      std::memcpy(&scale, &weight.input_scales[2 * j], 2);
      out[i * weight.cols + j] =
          static_cast<double>(signs_out[i]) * sum * static_cast<double>(signs_in[j] * half_to_float(scale));
    }
  }
  return out;
}

TEST(TransformedWeightTest, DecodesAsDefined) {
  for (const auto& [input_block, output_block] :
       {std::pair<std::size_t, std::size_t>{16, 8}, {1, 24}, {48, 1}, {12, 4}}) {
    const TransformedWeight weight = random_transformed(24, 48, input_block, output_block, input_block);
    const std::vector<double> expected = decoded_by_definition(weight);
    const Matrix decoded = decode(CompressedWeight(weight));
    for (std::size_t k = 0; k < expected.size(); ++k) ASSERT_NEAR(decoded.data()[k], expected[k], 3e-6);
  }
}

TEST(TransformedWeightTest, DecodesTheSameOnEveryInstructionSet) {
  const CompressedWeight weight = random_transformed(48, 144, 144, 16, 1);
  const Matrix expected = decode(weight);
  testing::for_each_instruction_set([&](const char* target) {
    const Matrix decoded = decode(weight);
    EXPECT_EQ(std::memcmp(decoded.data(), expected.data(), expected.size() * sizeof(float)), 0) << target;
  });
}

TEST(TransformedWeightTest, AnyRowsDecodeFromManyThreads) {
  const CompressedWeight weight = random_transformed(96, 64, 64, 32, 2);
  const Matrix all = decode(weight);
  std::vector<int> wrong(3, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t begin = t; begin < 96; begin += 3) {
        for (const std::size_t count : {std::size_t{1}, std::size_t{33}, 96 - begin}) {
          const std::size_t rows = std::min(count, 96 - begin);
          std::vector<float> some(rows * 64);
          decode_rows(view(weight), begin, rows, some);
          if (std::memcmp(some.data(), all.row(begin).data(), some.size() * sizeof(float)) != 0) ++wrong[t];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0));
}

TEST(TransformedWeightTest, ExampleByHand) {
  // Base (1, 2; 3, 4). H_2^T along columns: (4, 6; -2, -2) / sqrt 2; H_2 along rows: (10, -2; -4, 0) / 2. Signs of
  // rows (1, -1): (5, -1; 2, 0); of columns (-1, 1): (-5, -1; -2, 0); factors (2, 4): (-10, -4; -4, 0).
  Matrix base(2, 2);
  for (std::size_t k = 0; k < 4; ++k) base.data()[k] = static_cast<float>(k + 1);
  TransformedWeight weight{2,      2,     {true, 2, 2}, encode_dense(base.view(), DenseType::f16, "w"), halves({2, 4}),
                           {0b01}, {0b10}};
  const Matrix decoded = decode(CompressedWeight(weight));
  EXPECT_THAT(decoded.span(), ::testing::Pointwise(::testing::FloatNear(1e-5f), {-10.0f, -4.0f, -4.0f, 0.0f}));
  EXPECT_EQ(payload_bytes(CompressedWeight(weight)), 8u + 4 + 1 + 1);
  EXPECT_EQ(describe(layout(CompressedWeight(weight))),
            "f16, scaled inputs, inputs rotated by 2, outputs rotated by 2");
  EXPECT_EQ(rows_together(layout(CompressedWeight(weight))), 2u);
}

TEST(TransformedWeightTest, RefusesImpossibleLayouts) {
  const auto refuses = [](const WeightTransform& transform, std::size_t base_cols = 12) {
    TransformedLayout layout{6, 12, transform, DenseLayout{6, base_cols, DenseType::f16}};
    EXPECT_THROW(payload_bytes(layout), Error);
  };
  EXPECT_NO_THROW(payload_bytes(TransformedLayout{6, 12, {false, 12, 2}, DenseLayout{6, 12, DenseType::f16}}));
  refuses({});
  refuses({false, 8, 0});   // does not divide 12
  refuses({false, 6, 0});   // no such Hadamard matrix
  refuses({false, 24, 0});  // more than there are
  refuses({false, 0, 4});
  refuses({true, 0, 0}, 11);
}

TEST(TransformedWeightTest, RefusesWhatNoWriterWrites) {
  const auto refusal = [](auto change) -> std::string {
    TransformedWeight weight = random_transformed(6, 20, 4, 2, 3);
    change(weight);
    const CompressedWeight stored = weight;
    try {
      from_parts(layout(stored), to_parts(view(stored)), "layer.weight");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal([](auto&) {}), "accepted");
  EXPECT_THAT(refusal([](auto& w) { w.input_signs[2] |= 0x10; }), HasSubstr("layer.weight.input_signs"));
  EXPECT_THAT(refusal([](auto& w) { w.output_signs[0] |= 0x40; }), HasSubstr("layer.weight.output_signs"));
  const auto with_scale = [&](float value) {
    return refusal([value](TransformedWeight& w) {
      const std::uint16_t bits = float_to_half(value);
      std::memcpy(&w.input_scales[2 * 7], &bits, 2);
    });
  };
  EXPECT_THAT(with_scale(0), HasSubstr("layer.weight.input_scales, column 7"));
  EXPECT_THAT(with_scale(-1), HasSubstr("column 7"));
  EXPECT_THAT(with_scale(INFINITY), HasSubstr("column 7"));
  EXPECT_THAT(with_scale(NAN), HasSubstr("column 7"));
  EXPECT_EQ(with_scale(0x1.0p-24f), "accepted");
  // The base is checked too.
  TransformedWeight weight = random_transformed(6, 20, 4, 2, 3);
  auto& base = std::get<GroupedIntegerWeight>(weight.base);
  base.permuted = true;
  base.permutation.assign(40, 0);
  const CompressedWeight stored = weight;
  EXPECT_THROW(from_parts(layout(stored), to_parts(view(stored)), "w"), Error);
}

TEST(TransformedWeightTest, RefusesUnknownJson) {
  const nlohmann::json good = layout_to_json(layout(CompressedWeight(random_transformed(6, 20, 4, 2, 3))));
  const auto refuses = [&good](const char* pointer, const nlohmann::json& value) {
    nlohmann::json json = good;
    json[nlohmann::json::json_pointer(pointer)] = value;
    EXPECT_THROW(layout_from_json(json, 6, 20, "w"), Error) << json;
  };
  EXPECT_NO_THROW(layout_from_json(good, 6, 20, "w"));
  EXPECT_EQ(good["base"]["format"], "grouped_integer");
  refuses("/base", good);  // nothing nests
  refuses("/base", 3);
  refuses("/base/bits", 9);
  refuses("/base/surprise", 9);
  refuses("/base/shape", nlohmann::json::array({6, 20}));
  refuses("/input_block", 0);
  refuses("/input_block", 3);
  refuses("/input_block", 40);
  refuses("/output_block", 4);
  refuses("/input_scaled", 1);
  refuses("/surprise", 1);
  nlohmann::json nothing = good;
  for (const char* key : {"input_scaled", "input_block", "output_block"}) nothing.erase(key);
  EXPECT_THROW(layout_from_json(nothing, 6, 20, "w"), Error);
  nlohmann::json baseless = good;
  baseless.erase("base");
  EXPECT_THROW(layout_from_json(baseless, 6, 20, "w"), Error);
}

TEST(TransformedWeightTest, TheContainerGivesBackEveryBit) {
  const testing::TemporaryFolder folder;
  const CompressedWeight grouped = random_transformed(24, 48, 16, 8, 4);
  TransformedWeight plain = random_transformed(24, 48, 48, 1, 5);
  plain.base = encode_dense(decode(grouped).view(), DenseType::bf16, "w");
  const CompressedWeight dense = plain;
  {
    CompressedFolderWriter writer(folder / "model", false);
    writer.add("a.weight", {24, 48}, grouped);
    writer.add("b.weight", {24, 6, 8}, dense);
    writer.finish({{"model_type", "llama"}});
  }
  const CompressedFolder model(folder / "model");
  EXPECT_EQ(model.payload_bytes(), payload_bytes(grouped) + payload_bytes(dense));
  for (const auto& [name, weight] :
       {std::pair<const char*, const CompressedWeight&>{"a.weight", grouped}, {"b.weight", dense}}) {
    EXPECT_TRUE(layout(model.weight(name)) == layout(weight));
    const auto stored = to_parts(model.weight(name));
    const auto written = to_parts(view(weight));
    ASSERT_EQ(stored.size(), written.size());
    for (std::size_t i = 0; i < stored.size(); ++i) {
      EXPECT_TRUE(
          std::equal(stored[i].data.begin(), stored[i].data.end(), written[i].data.begin(), written[i].data.end()));
    }
    const Matrix decoded = decode(weight);
    const Matrix read = model.read(name);
    EXPECT_TRUE(std::equal(read.span().begin(), read.span().end(), decoded.span().begin()));
  }
}

}  // namespace
}  // namespace lcomp
