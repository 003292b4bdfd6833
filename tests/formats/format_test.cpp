#include "lcomp/formats/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "core/instruction_sets.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/hadamard.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/formats/rate_coded.h"
#include "lcomp/formats/transformed_weight.h"
#include "lcomp/formats/trellis.h"
#include "support/error_message.h"
#include "support/matrices.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

// One format with all that a weight of it can differ in but the shape.
struct Case {
  std::string name;
  WeightLayout (*layout)(std::size_t rows, std::size_t cols);
};

template <int bits, bool symmetric, std::size_t group_size, ScaleStorage storage, bool per_tensor = false,
          bool permuted = false, ZeroStorage zeros = ZeroStorage::integer>
WeightLayout grouped(std::size_t rows, std::size_t cols) {
  GroupedIntegerLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = bits;
  layout.symmetric = symmetric;
  layout.group_size = group_size == 0 ? cols : std::min(group_size, cols);
  layout.per_tensor = per_tensor;
  layout.scale_storage = storage;
  layout.permuted = permuted;
  layout.zero_storage = zeros;
  return layout;
}

template <DenseType type>
WeightLayout dense(std::size_t rows, std::size_t cols) {
  return DenseLayout{rows, cols, type};
}

template <int bits, bool zero_level, std::size_t group_size, ScaleStorage storage, bool permuted = false>
WeightLayout logarithmic(std::size_t rows, std::size_t cols) {
  return LogarithmicLayout{rows,    cols,    bits, zero_level, group_size == 0 ? cols : std::min(group_size, cols),
                           storage, permuted};
}

template <int bits, std::size_t group_size, bool permuted = false>
WeightLayout codebook(std::size_t rows, std::size_t cols) {
  return CodebookLayout{rows, cols, bits, group_size == 0 ? cols : std::min(group_size, cols), std::nullopt, permuted};
}

template <int bits, std::size_t group_size, ScaleStorage storage, bool permuted = false>
WeightLayout shared_codebook(std::size_t rows, std::size_t cols) {
  return CodebookLayout{rows, cols, bits, group_size == 0 ? cols : std::min(group_size, cols), storage, permuted};
}

// The sizes of rate-coded weights depend on their codes: these.
RateCodedWeight rate_coded_weight(std::size_t rows, std::size_t cols, int memory) {
  Rng rng(rows * 1000 + cols);
  RateCodedCodes codes;
  codes.rows = rows;
  codes.cols = cols;
  codes.trellis_memory = memory;
  codes.chain_rows = 4;
  for (std::size_t i = 0; i < rows; ++i) codes.row_steps.push_back(static_cast<std::uint8_t>(rng.below(9)));
  for (std::size_t j = 0; j < cols; ++j) codes.col_steps.push_back(static_cast<std::uint8_t>(rng.below(20)));
  for (std::size_t k = 0; k < rows * cols; ++k) {
    codes.codes.push_back(static_cast<std::int32_t>(std::lround(3 * rng.normal())));
  }
  for (std::size_t i = 0; memory == 3 && i < rows; ++i)
    codes.row_gains.push_back(static_cast<std::int16_t>(rng.below(40)));
  return encode_rate_coded(codes, "w");
}

template <int memory>
WeightLayout rate_coded(std::size_t rows, std::size_t cols) {
  return layout(CompressedWeight(rate_coded_weight(rows, cols, memory)));
}

// Bands of first, first - 1, ... bits, as long as there are some.
std::vector<std::uint8_t> falling_bits(std::size_t cols, int first) {
  std::vector<std::uint8_t> bits;
  for (std::size_t b = 0; b < band_count(cols); ++b) {
    bits.push_back(static_cast<std::uint8_t>(std::max(0, first - static_cast<int>(b))));
  }
  return bits;
}

template <int first, bool symmetric>
WeightLayout banded(std::size_t rows, std::size_t cols) {
  return banded_layout(rows, cols, symmetric, falling_bits(cols, first), "w");
}

// Every slot that `scaled`, `inputs` and `outputs` ask for; blocks of a power of two, or 1 for odd sides.
template <WeightLayout (*base)(std::size_t, std::size_t), bool scaled, bool inputs, bool outputs>
WeightLayout transformed(std::size_t rows, std::size_t cols) {
  TransformedLayout layout{rows, cols, {}, as_plain(base(rows, cols))};
  layout.transform.input_scaled = scaled;
  if (inputs) layout.transform.input_block = largest_hadamard_block(cols, cols, true);
  if (outputs) layout.transform.output_block = largest_hadamard_block(rows, rows, true);
  return layout;
}

const Case cases[] = {
    {"f32", dense<DenseType::f32>},
    {"f16", dense<DenseType::f16>},
    {"bf16", dense<DenseType::bf16>},
    {"1 bit, symmetric", grouped<1, true, 16, ScaleStorage::f16>},
    {"1 bit, asymmetric, ragged", grouped<1, false, 5, ScaleStorage::f32>},
    {"2 bits", grouped<2, false, 64, ScaleStorage::f16>},
    {"3 bits, channel", grouped<3, false, 0, ScaleStorage::f16>},
    {"3 bits, group 24, row scales", grouped<3, false, 24, ScaleStorage::u8>},
    {"4 bits, group 64", grouped<4, true, 64, ScaleStorage::f16>},
    {"4 bits, tensor", grouped<4, false, 0, ScaleStorage::f16, true>},
    {"5 bits, tensor, row scale", grouped<5, true, 0, ScaleStorage::u8, true>},
    {"5 bits, group 7", grouped<5, false, 7, ScaleStorage::u8>},
    {"6 bits, group 8", grouped<6, true, 8, ScaleStorage::f32>},
    {"7 bits, group 1", grouped<7, false, 1, ScaleStorage::f16>},
    {"8 bits, group 32", grouped<8, false, 32, ScaleStorage::f16>},
    {"4 bits, group 16, permuted", grouped<4, false, 16, ScaleStorage::f16, false, true>},
    {"3 bits, group 5, permuted", grouped<3, true, 5, ScaleStorage::u8, false, true>},
    {"2 bits, group 16, f16 zeros", grouped<2, false, 16, ScaleStorage::f16, false, false, ZeroStorage::f16>},
    {"5 bits, tensor, f16 zeros", grouped<5, false, 0, ScaleStorage::u8, true, false, ZeroStorage::f16>},
    {"logarithmic, 1 bit", logarithmic<1, false, 0, ScaleStorage::f16>},
    {"logarithmic, 1 bit, zero, group 6", logarithmic<1, true, 6, ScaleStorage::u8>},
    {"logarithmic, 2 bits, zero, group 16", logarithmic<2, true, 16, ScaleStorage::f16>},
    {"logarithmic, 3 bits, group 7", logarithmic<3, false, 7, ScaleStorage::f32>},
    {"logarithmic, 4 bits, group 64", logarithmic<4, false, 64, ScaleStorage::f16>},
    {"logarithmic, 5 bits, zero, permuted", logarithmic<5, true, 16, ScaleStorage::u8, true>},
    {"logarithmic, 8 bits, channel", logarithmic<8, true, 0, ScaleStorage::f16>},
    {"codebook, 1 bit, group 5", codebook<1, 5>},
    {"codebook, 3 bits, channel", codebook<3, 0>},
    {"codebook, 4 bits, group 64", codebook<4, 64>},
    {"codebook, 4 bits, group 7, permuted", codebook<4, 7, true>},
    {"codebook, 8 bits, group 128", codebook<8, 128>},
    {"shared codebook, 2 bits, group 16", shared_codebook<2, 16, ScaleStorage::f32>},
    {"shared codebook, 4 bits, group 64", shared_codebook<4, 64, ScaleStorage::f16>},
    {"shared codebook, 4 bits, group 5, permuted", shared_codebook<4, 5, ScaleStorage::u8, true>},
    {"shared codebook, 8 bits, channel", shared_codebook<8, 0, ScaleStorage::u8>},
    {"banded, 8 bits down, asymmetric", banded<8, false>},
    {"banded, 3 bits down to none", banded<3, false>},
    {"banded, 5 bits down, symmetric", banded<5, true>},
    {"banded, 1 bit, symmetric", banded<1, true>},
    {"rate-coded", rate_coded<0>},
    {"rate-coded, 8 trellis states", rate_coded<3>},
    {"f16, rotated", transformed<dense<DenseType::f16>, false, true, true>},
    {"4 bits, scaled", transformed<grouped<4, false, 16, ScaleStorage::f16>, true, false, false>},
    {"3 bits, permuted, inputs rotated",
     transformed<grouped<3, true, 5, ScaleStorage::u8, false, true>, false, true, false>},
    {"2 bits, outputs rotated", transformed<grouped<2, false, 64, ScaleStorage::f16>, false, false, true>},
    {"logarithmic, permuted, all transforms",
     transformed<logarithmic<3, true, 16, ScaleStorage::u8, true>, true, true, true>},
    {"codebook, rotated", transformed<codebook<2, 16>, false, true, true>},
    {"banded, rotated", transformed<banded<4, false>, false, true, true>},
    {"shared codebook, scaled", transformed<shared_codebook<4, 64, ScaleStorage::f16>, true, false, false>},
    {"2 bits, all transforms", transformed<grouped<2, false, 64, ScaleStorage::f32>, true, true, true>},
};

struct Shape {
  std::size_t rows, cols;
};
const Shape shapes[] = {{1, 1}, {3, 5}, {7, 33}, {2, 64}, {5, 200}, {67, 72}};

std::vector<std::uint32_t> random_permutation(std::size_t size, Rng& rng) {
  std::vector<std::uint32_t> permutation(size);
  for (std::size_t j = 0; j < size; ++j) {
    const std::size_t other = rng.below(j + 1);
    permutation[j] = permutation[other];
    permutation[other] = static_cast<std::uint32_t>(j);
  }
  return permutation;
}

// The bytes of one part, whatever the format; null for parts that it hasn't.
template <typename Weight>
constexpr bool has_codes = !std::is_same_v<Weight, DenseWeight> && !std::is_same_v<Weight, TransformedWeight> &&
                           !std::is_same_v<Weight, RateCodedWeight> && !std::is_same_v<Weight, BandedIntegerWeight>;

template <typename Weight>
std::vector<std::uint8_t>* bytes_of(Weight& weight, const std::string& suffix) {
  if constexpr (std::is_same_v<Weight, DenseWeight>) {
    return suffix.empty() ? &weight.values : nullptr;
  }
  if constexpr (has_codes<Weight>) {
    if (suffix == ".codes") return &weight.codes;
    if (suffix == ".scales") return &weight.scales;
    if (suffix == ".row_scales") return &weight.row_scales;
    if (suffix == ".permutation") return &weight.permutation;
  }
  if constexpr (std::is_same_v<Weight, BandedIntegerWeight>) {
    if (suffix == ".codes") return &weight.codes;
    if (suffix == ".scales") return &weight.scales;
    if (suffix == ".row_scales") return &weight.row_scales;
    if (suffix == ".zeros") return &weight.zeros;
    if (suffix == ".band_bits") return &weight.band_bits;
    if (suffix == ".permutation") return &weight.permutation;
  }
  if constexpr (std::is_same_v<Weight, RateCodedWeight>) {
    if (suffix == ".codes") return &weight.codes;
    if (suffix == ".blocks") return &weight.blocks;
    if (suffix == ".base_step") return &weight.base_step;
    if (suffix == ".side") return &weight.side;
  }
  if constexpr (std::is_same_v<Weight, GroupedIntegerWeight>) {
    if (suffix == ".zeros") return &weight.zeros;
  }
  if constexpr (std::is_same_v<Weight, LogarithmicWeight>) {
    if (suffix == ".base") return &weight.base;
  }
  if constexpr (std::is_same_v<Weight, CodebookWeight>) {
    if (suffix == ".codebooks") return &weight.codebooks;
  }
  return nullptr;
}

const char* const suffixes[] = {"",           ".codes",       ".scales", ".row_scales", ".zeros", ".base",
                                ".codebooks", ".permutation", ".blocks", ".base_step",  ".side",  ".band_bits"};

CompressedWeight empty_weight(const WeightLayout& layout) {
  if (const auto* grouped_layout = std::get_if<GroupedIntegerLayout>(&layout)) {
    return make_grouped_integer(*grouped_layout, "w");
  }
  if (const auto* logarithmic_layout = std::get_if<LogarithmicLayout>(&layout)) {
    return make_logarithmic(*logarithmic_layout, "w");
  }
  return make_codebook(std::get<CodebookLayout>(layout), "w");
}

BandedIntegerWeight random_banded(const BandedIntegerLayout& stored, Rng& rng) {
  std::vector<std::uint8_t> bits;
  for (int first = 0; first <= 8; ++first) {
    bits = falling_bits(stored.cols, first);
    if (banded_layout(stored.rows, stored.cols, stored.symmetric, bits, "w") == stored) break;
  }
  BandedIntegerWeight weight = make_banded_integer(stored.rows, stored.cols, stored.symmetric, bits, "w");
  std::vector<std::uint8_t> codes(stored.cols);
  std::vector<float> scales(stored.coded_bands);
  std::vector<float> zeros(stored.coded_bands);
  for (std::size_t i = 0; i < stored.rows; ++i) {
    for (std::size_t j = 0; j < stored.cols; ++j) {
      codes[j] = static_cast<std::uint8_t>(rng.below(std::uint64_t{1} << bits[j / band_columns]));
    }
    const float row_scale = round_row_scale(static_cast<float>(rng.uniform(0.1, 2)));
    for (std::size_t b = 0; b < scales.size(); ++b) {
      const float most = band_row_scale(row_scale, bits[b]);
      scales[b] = round_scale(most * static_cast<float>(rng.uniform(0, 1)), ScaleStorage::u8, most);
      zeros[b] = static_cast<float>(rng.below(std::uint64_t{1} << bits[b]));
    }
    pack_row(weight, i, codes);
    set_scales(weight, i, scales, row_scale);
    set_zero_points(weight, i, zeros);
  }
  set_permutation(weight, random_permutation(stored.cols, rng));
  return weight;
}

// A weight with random contents: any codes, finite scales and levels.
CompressedWeight random_weight(const WeightLayout& stored, std::uint64_t seed) {
  Rng rng(seed);
  if (const auto* d = std::get_if<DenseLayout>(&stored)) {
    Matrix values(d->rows, d->cols);
    for (float& x : values.span()) x = static_cast<float>(rng.normal());
    return encode_dense(values.view(), d->type, "w");
  }
  if (const auto* r = std::get_if<RateCodedLayout>(&stored)) {
    return rate_coded_weight(r->rows, r->cols, r->trellis_memory);
  }
  if (const auto* b = std::get_if<BandedIntegerLayout>(&stored)) return random_banded(*b, rng);
  if (const auto* t = std::get_if<TransformedLayout>(&stored)) {
    TransformedWeight weight{t->rows, t->cols, t->transform, as_plain(random_weight(as_layout(t->base), seed)), {},
                             {},      {}};
    for (std::size_t j = 0; t->transform.input_scaled && j < t->cols; ++j) {
      const std::uint16_t bits = float_to_half(static_cast<float>(rng.uniform(0.001, 2)));
      weight.input_scales.push_back(static_cast<std::uint8_t>(bits & 255));
      weight.input_scales.push_back(static_cast<std::uint8_t>(bits >> 8));
    }
    const auto signs = [&rng](std::size_t size) {
      std::vector<float> all(size);
      for (float& sign : all) sign = rng.below(2) == 0 ? 1.0f : -1.0f;
      return encode_signs(all);
    };
    if (t->transform.input_block > 0) weight.input_signs = signs(t->cols);
    if (t->transform.output_block > 0) weight.output_signs = signs(t->rows);
    return weight;
  }
  CompressedWeight weight = empty_weight(stored);
  const auto fill = [&](const std::string& suffix, std::size_t size, const auto& write) {
    std::visit(
        [&](auto& of_format) {
          std::vector<std::uint8_t>* bytes = bytes_of(of_format, suffix);
          if (bytes == nullptr) return;
          for (std::size_t at = 0; at < bytes->size(); at += size) write(bytes->data() + at);
        },
        weight);
  };
  const auto byte = [&rng](std::uint8_t* to) { *to = static_cast<std::uint8_t>(rng.below(256)); };
  const auto half = [&rng](std::uint8_t* to) {
    const std::uint16_t bits = float_to_half(static_cast<float>(rng.uniform(0.001, 2)));
    std::memcpy(to, &bits, 2);
  };
  const auto single = [&rng](std::uint8_t* to) {
    const float value = static_cast<float>(rng.uniform(1.001, 2));
    std::memcpy(to, &value, 4);
  };
  for (const WeightPart& part : to_parts(view(weight))) {
    if (part.type == DataType::u8) fill(part.suffix, 1, byte);
    if (part.type == DataType::f16) fill(part.suffix, 2, half);
    if (part.type == DataType::f32) fill(part.suffix, 4, single);
  }
  std::visit(
      [&rng](auto& of_format) {
        if constexpr (has_codes<std::decay_t<decltype(of_format)>>) {
          std::vector<std::uint8_t> codes(of_format.cols);
          for (std::size_t i = 0; i < of_format.rows; ++i) {
            for (auto& code : codes) code = static_cast<std::uint8_t>(rng.below(std::uint64_t{1} << of_format.bits));
            pack_row(of_format, i, codes);
          }
          if (of_format.permuted) set_permutation(of_format, random_permutation(of_format.cols, rng));
        }
      },
      weight);
  return weight;
}

// Code `index` of the stream of `bits`-bit codes that begins with byte `byte`, bit by bit.
unsigned code_at(const std::vector<std::uint8_t>& stream, int bits, std::size_t byte, std::size_t index) {
  unsigned code = 0;
  for (int k = 0; k < bits; ++k) {
    const std::size_t bit = index * static_cast<std::size_t>(bits) + static_cast<std::size_t>(k);
    code |= ((stream[byte + bit / 8] >> (bit % 8)) & 1u) << k;
  }
  return code;
}

float half_at(const std::vector<std::uint8_t>& bytes, std::size_t index) {
  return half_to_float(static_cast<std::uint16_t>(bytes[2 * index] | bytes[2 * index + 1] << 8));
}

template <typename Weight>
float scale_at(const Weight& w, ScaleStorage storage, std::size_t row, std::size_t group) {
  float scale = 0;
  if (storage == ScaleStorage::f32) std::memcpy(&scale, &w.scales[4 * group], 4);
  if (storage == ScaleStorage::f16) scale = half_at(w.scales, group);
  if (storage == ScaleStorage::u8) scale = half_at(w.row_scales, row) * w.scales[group] / 255.0f;
  return scale;
}

// What `code` means in group `g` of row i: the definitions of the formats.
float meaning(const GroupedIntegerWeight& w, std::size_t i, std::size_t g, unsigned code) {
  const std::size_t per_row = w.per_tensor ? 0 : (w.cols + w.group_size - 1) / w.group_size;
  const std::size_t group = w.per_tensor ? 0 : i * per_row + g;
  const float zero = w.zero_storage == ZeroStorage::f16 ? half_at(w.zeros, group)
                     : !w.symmetric                     ? static_cast<float>(code_at(w.zeros, w.bits, 0, group))
                     : w.bits == 1                      ? 0.5f
                                                        : std::exp2(static_cast<float>(w.bits - 1));
  return scale_at(w, w.scale_storage, w.per_tensor ? 0 : i, group) * (static_cast<float>(code) - zero);
}

float meaning(const LogarithmicWeight& w, std::size_t i, std::size_t g, unsigned code) {
  const std::size_t per_row = (w.cols + w.group_size - 1) / w.group_size;
  const unsigned half = 1u << (w.bits - 1);
  float base = 0;
  std::memcpy(&base, w.base.data(), 4);
  double power = 1;
  for (unsigned k = 0; k < code % half; ++k) power /= static_cast<double>(base);
  if (w.zero_level && code == half - 1) power = 0;
  const float level = code < half ? static_cast<float>(power) : -static_cast<float>(power);
  return scale_at(w, w.scale_storage, i, i * per_row + g) * level;
}

float meaning(const CodebookWeight& w, std::size_t i, std::size_t g, unsigned code) {
  const std::size_t per_row = (w.cols + w.group_size - 1) / w.group_size;
  const std::size_t levels = std::size_t{1} << w.bits;
  if (!w.scale_storage) return half_at(w.codebooks, (i * per_row + g) * levels + code);
  return scale_at(w, *w.scale_storage, i, i * per_row + g) * half_at(w.codebooks, code);
}

// The definition of the formats with codes, one weight at a time, from the bytes.
template <typename Weight>
Matrix decoded_by_definition(const Weight& w) {
  Matrix out(w.rows, w.cols);
  const std::size_t row_bytes = (w.cols * static_cast<std::size_t>(w.bits) + 7) / 8;
  for (std::size_t i = 0; i < w.rows; ++i) {
    for (std::size_t j = 0; j < w.cols; ++j) {
      const std::size_t column =
          w.permuted ? static_cast<std::size_t>(w.permutation[2 * j] | w.permutation[2 * j + 1] << 8) : j;
      out(i, column) = meaning(w, i, j / w.group_size, code_at(w.codes, w.bits, i * row_bytes, j));
    }
  }
  return out;
}

Matrix decoded_by_definition(const BandedIntegerWeight& w) {
  Matrix out(w.rows, w.cols);
  out.fill(0);
  std::size_t byte = 0;  // of the codes
  const std::size_t zero_bytes = w.rows == 0 ? 0 : w.zeros.size() / w.rows;
  for (std::size_t i = 0; i < w.rows; ++i) {
    std::size_t zero_bit = 0;
    for (std::size_t b = 0; b < w.coded_bands; ++b) {
      const int bits = w.band_bits[b];
      const std::size_t size = std::min<std::size_t>(32, w.cols - 32 * b);
      float zero = bits == 1 ? 0.5f : std::exp2(static_cast<float>(bits - 1));
      if (!w.symmetric) {
        unsigned value = 0;
        for (int k = 0; k < bits; ++k, ++zero_bit) {
          value |= (w.zeros[i * zero_bytes + zero_bit / 8] >> (zero_bit % 8) & 1u) << k;
        }
        zero = static_cast<float>(value);
      }
      const float most = half_at(w.row_scales, i) / static_cast<float>((1 << bits) - 1);
      const float scale = most * static_cast<float>(w.scales[i * w.coded_bands + b]) / 255.0f;
      for (std::size_t j = 0; j < size; ++j) {
        const std::size_t at = 2 * (32 * b + j);
        const auto column = static_cast<std::size_t>(w.permutation[at] | w.permutation[at + 1] << 8);
        out(i, column) = scale * (static_cast<float>(code_at(w.codes, bits, byte, j)) - zero);
      }
      byte += (size * static_cast<std::size_t>(bits) + 7) / 8;
    }
  }
  EXPECT_EQ(byte, w.codes.size());
  return out;
}

// Calls check for each shape, with a weight of random contents.
class FormatTest : public ::testing::TestWithParam<Case> {
 protected:
  static void for_each_shape(const std::function<void(const WeightLayout&, const CompressedWeight&)>& check) {
    for (const Shape& shape : shapes) {
      SCOPED_TRACE(std::to_string(shape.rows) + " x " + std::to_string(shape.cols));
      const WeightLayout stored = GetParam().layout(shape.rows, shape.cols);
      check(stored, random_weight(stored, 1));
    }
  }
};

// Levels by the trellis, one at a time; the codes themselves: rate_coded_test.cpp.
Matrix decoded_by_definition(const RateCodedWeight& w) {
  const RateCodedCodes codes = decode_codes(view(w));
  const Trellis trellis(w.trellis_memory);
  Matrix out(w.rows, w.cols);
  for (std::size_t j = 0; j < w.cols; ++j) {
    std::uint32_t state = 0;
    for (std::size_t i = 0; i < w.rows; ++i) {
      if (i % w.chain_rows == 0) state = 0;
      const std::int32_t code = codes.codes[i * w.cols + j];
      const double octaves = (codes.row_steps[i] + codes.col_steps[j]) / static_cast<double>(w.steps_per_octave);
      const float gain = codes.row_gains.empty() ? 1 : 1 + static_cast<float>(codes.row_gains[i]) / 1024;
      const float step = codes.base_step * gain * static_cast<float>(std::exp2(octaves));
      out(i, j) = static_cast<float>(trellis.level(state, code)) * step;
      state = trellis.next(state, code);
    }
  }
  return out;
}

std::uint64_t buffer_bytes(const CompressedWeight& weight) {
  if (const auto* t = std::get_if<TransformedWeight>(&weight)) {
    const auto base = std::visit([](const auto& plain) -> CompressedWeight { return plain; }, t->base);
    return buffer_bytes(base) + t->input_scales.size() + t->input_signs.size() + t->output_signs.size();
  }
  return std::visit(
      [](auto of_format) {
        std::uint64_t sum = 0;
        for (const char* suffix : suffixes) {
          if (const auto* bytes = bytes_of(of_format, suffix)) sum += bytes->size();
        }
        return sum;
      },
      weight);
}

TEST_P(FormatTest, PayloadBytesAreTheStoredBytes) {
  for_each_shape([](const WeightLayout& stored, const CompressedWeight& weight) {
    const std::uint64_t bytes = buffer_bytes(weight);
    EXPECT_EQ(payload_bytes(weight), bytes);
    EXPECT_EQ(payload_bytes(stored), bytes);
    std::uint64_t in_parts = 0;
    for (const WeightPart& part : to_parts(view(weight))) {
      EXPECT_EQ(part.data.size(), part.bytes);
      in_parts += part.data.size();
    }
    EXPECT_EQ(in_parts, bytes);
    EXPECT_DOUBLE_EQ(bits_per_weight(stored),
                     8 * static_cast<double>(bytes) / static_cast<double>(rows(stored) * cols(stored)));
  });
}

TEST_P(FormatTest, DecodesAsDefinedOnEveryInstructionSet) {
  for_each_shape([](const WeightLayout&, const CompressedWeight& weight) {
    // Dense: below; transformed: transformed_weight_test.cpp.
    if (std::holds_alternative<DenseWeight>(weight) || std::holds_alternative<TransformedWeight>(weight)) return;
    const Matrix expected = std::visit(
        [](const auto& of_format) {
          using Weight = std::decay_t<decltype(of_format)>;
          if constexpr (has_codes<Weight> || std::is_same_v<Weight, RateCodedWeight> ||
                        std::is_same_v<Weight, BandedIntegerWeight>) {
            return decoded_by_definition(of_format);
          } else {
            return Matrix();
          }
        },
        weight);
    testing::for_each_instruction_set(
        [&](const char* target) { EXPECT_TRUE(testing::same_bits(decode(weight), expected)) << target; });
  });
}

TEST_P(FormatTest, RowsDecodeAloneAsTheyDoTogether) {
  for_each_shape([](const WeightLayout&, const CompressedWeight& weight) {
    const Matrix all = decode(weight);
    for (std::size_t begin = 0; begin < all.rows(); ++begin) {
      const std::size_t count = std::min<std::size_t>(1 + begin % 3, all.rows() - begin);
      std::vector<float> some(count * all.cols());
      decode_rows(view(weight), begin, count, some);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.row(begin).data()));
    }
  });
}

TEST_P(FormatTest, DecodesTheSameOnAnyNumberOfThreads) {
  for_each_shape([](const WeightLayout&, const CompressedWeight& weight) {
    const std::size_t threads = thread_count();
    set_thread_count(1);
    const Matrix one = decode(weight);
    set_thread_count(3);
    const Matrix three = decode(weight);
    set_thread_count(threads);
    EXPECT_TRUE(testing::same_bits(one, three));
  });
}

TEST_P(FormatTest, SurvivesThePartsAndTheJson) {
  for_each_shape([](const WeightLayout& stored, const CompressedWeight& weight) {
    const nlohmann::json json = nlohmann::json::parse(layout_to_json(stored).dump());
    EXPECT_TRUE(layout_from_json(json, rows(stored), cols(stored), "w") == stored);
    std::vector<WeightPart> parts = to_parts(view(weight));
    std::reverse(parts.begin(), parts.end());
    EXPECT_TRUE(testing::same_bits(decode(weight), decode(from_parts(stored, parts, "w"))));
  });
}

TEST_P(FormatTest, RefusesDamagedPartsNamingThem) {
  for_each_shape([](const WeightLayout& stored, const CompressedWeight& weight) {
    const std::vector<WeightPart> good = to_parts(view(weight));
    const auto refusal = [&](const std::vector<WeightPart>& parts) -> std::string {
      try {
        from_parts(stored, parts, "layer.weight");
      } catch (const Error& error) {
        return error.what();
      }
      return "accepted";
    };
    for (std::size_t i = 0; i < good.size(); ++i) {
      const std::string name = "layer.weight" + good[i].suffix;
      auto parts = good;
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i));
      EXPECT_THAT(refusal(parts), HasSubstr(name));
      parts = good;
      parts.push_back(good[i]);
      EXPECT_THAT(refusal(parts), HasSubstr(name));
      parts = good;
      parts[i].type = DataType::i64;
      EXPECT_THAT(refusal(parts), HasSubstr(name));
      parts = good;
      parts[i].shape[0] += 1;
      EXPECT_THAT(refusal(parts), HasSubstr(name));
      parts = good;
      parts[i].data = parts[i].data.first(parts[i].data.size() - 1);
      EXPECT_THAT(refusal(parts), HasSubstr(name));
      parts = good;
      parts[i].suffix = ".other";
      EXPECT_THAT(refusal(parts), HasSubstr("layer.weight.other"));
    }
  });
}

TEST_P(FormatTest, RefusesRowsThatItHasNot) {
  for_each_shape([](const WeightLayout& stored, const CompressedWeight& weight) {
    std::vector<float> out(cols(stored));
    EXPECT_THROW(decode_rows(view(weight), rows(stored), 1, out), Error);
    EXPECT_THROW(decode_rows(view(weight), std::numeric_limits<std::size_t>::max(), 2, out), Error);
    EXPECT_THROW(decode_rows(view(weight), 0, 1, std::span(out).first(out.size() - 1)), Error);
  });
}

std::string test_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, FormatTest, ::testing::ValuesIn(cases), test_name);

TEST(FormatExampleTest, CountsByHand) {
  // 3 x 50 at 3 bits: 150 bits a row are 19 bytes, 57 in all; groups of 20: 3 a row, 9 in all: 18 bytes of f16 scales;
  // 9 zero points of 3 bits: 27 bits, 4 bytes.
  GroupedIntegerLayout layout;
  layout.rows = 3;
  layout.cols = 50;
  layout.bits = 3;
  layout.symmetric = false;
  layout.group_size = 20;
  EXPECT_EQ(payload_bytes(layout), 57u + 18u + 4u);
  EXPECT_DOUBLE_EQ(bits_per_weight(layout), 8.0 * 79 / 150);
  layout.scale_storage = ScaleStorage::u8;  // 9 bytes and 3 row scales of 2
  EXPECT_EQ(payload_bytes(layout), 57u + 9u + 6u + 4u);
  layout.zero_storage = ZeroStorage::f16;
  EXPECT_EQ(payload_bytes(layout), 57u + 9u + 6u + 18u);
  layout.zero_storage = ZeroStorage::integer;
  layout.symmetric = true;
  EXPECT_EQ(payload_bytes(layout), 57u + 9u + 6u);
  layout.group_size = 50;
  layout.per_tensor = true;
  layout.scale_storage = ScaleStorage::f32;
  EXPECT_EQ(payload_bytes(layout), 57u + 4u);
  layout.permuted = true;
  EXPECT_EQ(payload_bytes(layout), 57u + 4u + 100u);
}

TEST(FormatExampleTest, DecodesPermutedColumnsToTheirPlaces) {
  GroupedIntegerLayout layout;
  layout.rows = 1;
  layout.cols = 4;
  layout.bits = 4;
  layout.symmetric = true;  // zero point 8
  layout.group_size = 2;
  layout.scale_storage = ScaleStorage::f32;
  layout.permuted = true;
  GroupedIntegerWeight weight = make_grouped_integer(layout, "w");
  pack_row(weight, 0, std::vector<std::uint8_t>{9, 10, 11, 12});
  set_scales(weight, 0, std::vector<float>{1, 10}, 0);
  set_permutation(weight, std::vector<std::uint32_t>{2, 0, 3, 1});
  const Matrix decoded = decode(CompressedWeight(weight));  // stored order: 1, 2, 30, 40
  EXPECT_THAT(decoded.span(), ::testing::ElementsAre(2, 40, 1, 30));
  EXPECT_THAT(decode_permutation(view(weight), "w"), ::testing::ElementsAre(2, 0, 3, 1));
}

TEST(FormatExampleTest, WidePermutations) {
  GroupedIntegerLayout layout;
  layout.rows = 1;
  layout.cols = 65537;
  layout.bits = 1;
  layout.group_size = layout.cols;
  layout.permuted = true;
  GroupedIntegerWeight weight = make_grouped_integer(layout, "w");
  Rng rng(3);
  const auto permutation = random_permutation(layout.cols, rng);
  set_permutation(weight, permutation);
  EXPECT_EQ(weight.permutation.size(), 4 * layout.cols);
  EXPECT_EQ(decode_permutation(view(weight), "w"), permutation);
  EXPECT_EQ(payload_bytes(CompressedWeight(weight)), 8193u + 2u + 4u * 65537u);
}

TEST(FormatExampleTest, RefusesWhatIsNoPermutation) {
  for (const WeightLayout& stored : {grouped<4, true, 2, ScaleStorage::f16, false, true>(2, 4),
                                     logarithmic<4, false, 2, ScaleStorage::f16, true>(2, 4),
                                     codebook<2, 2, true>(2, 4), shared_codebook<2, 4, ScaleStorage::u8, true>(2, 4)}) {
    for (const std::vector<std::uint8_t>& damaged :
         {std::vector<std::uint8_t>{0, 0, 1, 0, 2, 0, 4, 0}, std::vector<std::uint8_t>{0, 0, 1, 0, 1, 0, 3, 0},
          std::vector<std::uint8_t>{0, 0, 1, 0, 2, 0, 3, 1}}) {
      CompressedWeight weight = random_weight(stored, 1);
      std::visit(
          [&damaged](auto& of_format) {
            if constexpr (has_codes<std::decay_t<decltype(of_format)>>) of_format.permutation = damaged;
          },
          weight);
      EXPECT_THAT(testing::message([&] { from_parts(stored, to_parts(view(weight)), "layer.weight"); }),
                  HasSubstr("layer.weight.permutation"))
          << "accepted";
    }
  }
}

TEST(FormatExampleTest, DescribesForPeople) {
  EXPECT_EQ(describe(grouped<4, false, 64, ScaleStorage::f16>(8, 128)),
            "grouped integer, 4 bits, asymmetric, group 64, f16 scales");
  EXPECT_EQ(describe(grouped<3, true, 0, ScaleStorage::u8>(8, 128)),
            "grouped integer, 3 bits, symmetric, per channel, u8 scales");
  EXPECT_EQ(describe(grouped<3, true, 0, ScaleStorage::f32, true>(8, 128)),
            "grouped integer, 3 bits, symmetric, per tensor, f32 scales");
  EXPECT_EQ(describe(grouped<4, false, 64, ScaleStorage::f16, false, true>(8, 128)),
            "grouped integer, 4 bits, asymmetric, group 64, f16 scales, permuted columns");
  EXPECT_EQ(describe(grouped<4, false, 64, ScaleStorage::f16, false, false, ZeroStorage::f16>(8, 128)),
            "grouped integer, 4 bits, asymmetric, group 64, f16 scales, f16 zeros");
  EXPECT_EQ(describe(dense<DenseType::bf16>(8, 128)), "bf16");
  EXPECT_EQ(describe(logarithmic<4, false, 64, ScaleStorage::u8, true>(8, 128)),
            "logarithmic, 4 bits, group 64, u8 scales, permuted columns");
  EXPECT_EQ(describe(logarithmic<3, true, 0, ScaleStorage::f16>(8, 128)),
            "logarithmic, 3 bits with zero, per channel, f16 scales");
  EXPECT_EQ(describe(codebook<3, 0>(8, 128)), "codebook, 3 bits, per channel");
  EXPECT_EQ(describe(banded<3, false>(8, 128)), "banded integer, 1.50 bits on the average, asymmetric");
  EXPECT_EQ(describe(shared_codebook<4, 64, ScaleStorage::f16>(8, 128)),
            "codebook, 4 bits, shared, group 64, f16 scales");
}

TEST(FormatExampleTest, OneSymmetricBitIsPlusOrMinusHalfTheScale) {
  GroupedIntegerLayout layout;
  layout.rows = 1;
  layout.cols = 2;
  layout.bits = 1;
  layout.group_size = 2;
  layout.scale_storage = ScaleStorage::f32;
  GroupedIntegerWeight weight = make_grouped_integer(layout, "w");
  const float scale = 3;
  std::memcpy(weight.scales.data(), &scale, 4);
  weight.codes = {0b10};
  const Matrix decoded = decode(CompressedWeight(weight));
  EXPECT_EQ(decoded(0, 0), -1.5f);
  EXPECT_EQ(decoded(0, 1), 1.5f);
}

TEST(FormatExampleTest, RefusesImpossibleLayouts) {
  const auto with = [](auto change) {
    GroupedIntegerLayout layout;
    layout.rows = 4;
    layout.cols = 8;
    layout.group_size = 8;
    change(layout);
    return layout;
  };
  EXPECT_NO_THROW(payload_bytes(with([](auto&) {})));
  EXPECT_THROW(payload_bytes(with([](auto& l) { l.bits = 0; })), Error);
  EXPECT_THROW(payload_bytes(with([](auto& l) { l.bits = 9; })), Error);
  EXPECT_THROW(payload_bytes(with([](auto& l) { l.group_size = 0; })), Error);
  EXPECT_THROW(payload_bytes(with([](auto& l) { l.group_size = 9; })), Error);
  EXPECT_THROW(payload_bytes(with([](auto& l) { l.rows = 0; })), Error);
  EXPECT_THROW(payload_bytes(with([](auto& l) { l.symmetric = true, l.zero_storage = ZeroStorage::f16; })), Error);
  EXPECT_THROW(payload_bytes(with([](auto& l) { l.per_tensor = true, l.group_size = 4; })), Error);
  EXPECT_THROW(payload_bytes(with([](auto& l) { l.rows = std::numeric_limits<std::size_t>::max() / 2; })), Error);
  EXPECT_THROW(payload_bytes(DenseLayout{std::numeric_limits<std::size_t>::max() / 2, 4, DenseType::f32}), Error);
}

TEST(FormatExampleTest, RefusesImpossibleTables) {
  const std::size_t huge = std::numeric_limits<std::size_t>::max() / 600;
  EXPECT_NO_THROW(payload_bytes(logarithmic<4, false, 0, ScaleStorage::f16>(4, 8)));
  EXPECT_THROW(payload_bytes(logarithmic<0, false, 0, ScaleStorage::f16>(4, 8)), Error);
  EXPECT_THROW(payload_bytes(logarithmic<9, false, 0, ScaleStorage::f16>(4, 8)), Error);
  EXPECT_THROW(payload_bytes(logarithmic<4, false, 0, ScaleStorage::f16>(0, 8)), Error);
  EXPECT_THROW(payload_bytes(LogarithmicLayout{4, 8, 4, false, 9, ScaleStorage::f16, false}), Error);
  EXPECT_THROW(payload_bytes(LogarithmicLayout{4, 8, 4, false, 0, ScaleStorage::f16, false}), Error);
  EXPECT_NO_THROW(payload_bytes(codebook<4, 0>(4, 8)));
  EXPECT_THROW(payload_bytes(codebook<0, 0>(4, 8)), Error);
  EXPECT_THROW(payload_bytes(codebook<9, 0>(4, 8)), Error);
  EXPECT_THROW(payload_bytes(codebook<4, 0>(4, 0)), Error);
  EXPECT_THROW(payload_bytes(CodebookLayout{4, 8, 4, 9, std::nullopt, false}), Error);
  EXPECT_NO_THROW(payload_bytes(codebook<1, 1>(huge, 1)));  // one code byte and a codebook of 4 bytes a row
  EXPECT_THROW(payload_bytes(codebook<8, 1>(huge, 2)), Error);
  EXPECT_NO_THROW(payload_bytes(shared_codebook<8, 1, ScaleStorage::f16>(huge, 2)));
}

TEST(FormatExampleTest, RefusesUnknownJson) {
  const auto refuses = [](const WeightLayout& stored, const char* key, const nlohmann::json& value) {
    nlohmann::json json = layout_to_json(stored);
    EXPECT_NO_THROW(layout_from_json(json, 8, 128, "w"));
    json[key] = value;
    EXPECT_THROW(layout_from_json(json, 8, 128, "w"), Error) << json;
  };
  for (const WeightLayout& stored : {grouped<4, false, 64, ScaleStorage::f16>(8, 128),
                                     logarithmic<4, true, 64, ScaleStorage::f16>(8, 128), codebook<4, 64>(8, 128)}) {
    refuses(stored, "format", "sparse");
    refuses(stored, "bits", 9);
    refuses(stored, "bits", 4.5);
    refuses(stored, "group_size", 129);
    refuses(stored, "group_size", 0);
    refuses(stored, "scales", "f64");
    refuses(stored, "permuted", 1);
    refuses(stored, "surprise", 1);
  }
  refuses(grouped<4, false, 64, ScaleStorage::f16>(8, 128), "symmetric", 1);
  refuses(grouped<4, false, 64, ScaleStorage::f16>(8, 128), "zeros", "f32");
  refuses(grouped<4, false, 64, ScaleStorage::f16>(8, 128), "per_tensor", true);  // with group_size 64
  refuses(logarithmic<4, true, 64, ScaleStorage::f16>(8, 128), "zero_level", nullptr);
  refuses(logarithmic<4, true, 64, ScaleStorage::f16>(8, 128), "base", 2);  // a part, not a setting
  refuses(codebook<4, 64>(8, 128), "zero_level", true);
  refuses(banded<3, false>(8, 128), "symmetric", 2);
  refuses(banded<3, false>(8, 128), "coded_bands", 5);  // of four
  refuses(banded<3, false>(8, 128), "coded_bands", 4);  // but the last has no bits
  refuses(banded<3, false>(8, 128), "bit_sum", 2);      // in three bands
  refuses(banded<3, false>(8, 128), "bit_sum", 25);
  refuses(banded<3, false>(8, 128), "last_bits", 1);
  refuses(banded<3, false>(8, 128), "last_bits", 9);
  refuses(rate_coded<3>(8, 128), "trellis_memory", 1);
  refuses(rate_coded<3>(8, 128), "trellis_memory", 7);
  refuses(rate_coded<3>(8, 128), "distribution", 4);
  refuses(rate_coded<3>(8, 128), "steps_per_octave", 0);
  refuses(rate_coded<3>(8, 128), "chain_rows", 3);  // blocks of 8 rows
  refuses(rate_coded<3>(8, 128), "code_bytes", -1);
}

TEST(DenseTest, RoundsAndDecodes) {
  Matrix weight(1, 3);
  weight(0, 0) = 1.0f + std::exp2(-11.0f);  // half way between 1 and the next f16: to even
  weight(0, 1) = -3.0e-8f;                  // nearest f16: -2^-25 rounds to -2^-24 or 0; -3e-8 is beyond half way
  weight(0, 2) = 0.1f;
  const Matrix decoded = decode(CompressedWeight(encode_dense(weight.view(), DenseType::f16, "w")));
  EXPECT_EQ(decoded(0, 0), 1.0f);
  EXPECT_EQ(decoded(0, 1), -std::exp2(-24.0f));
  EXPECT_EQ(decoded(0, 2), half_to_float(float_to_half(0.1f)));
  const Matrix exact = decode(CompressedWeight(encode_dense(weight.view(), DenseType::f32, "w")));
  EXPECT_EQ(exact(0, 2), 0.1f);
}

TEST(DenseTest, RefusesWhatTheTypeCannotHold) {
  const auto refusal = [](float value, DenseType type) -> std::string {
    Matrix weight(3, 1500);  // more than one internal chunk
    weight.fill(0);
    weight(2, 1200) = value;
    try {
      encode_dense(weight.view(), type, "model.norm");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal(70000, DenseType::f16), HasSubstr("model.norm, row 2, column 1200"));
  EXPECT_EQ(refusal(70000, DenseType::bf16), "accepted");
  EXPECT_THAT(refusal(std::numeric_limits<float>::max(), DenseType::bf16), HasSubstr("row 2, column 1200"));
  EXPECT_THAT(refusal(std::numeric_limits<float>::infinity(), DenseType::f32), HasSubstr("row 2, column 1200"));
  EXPECT_THAT(refusal(std::numeric_limits<float>::quiet_NaN(), DenseType::f16), HasSubstr("row 2, column 1200"));
}

TEST(DenseTest, FindsTheSmallestExactType) {
  Matrix weight(2, 2000);
  weight.fill(0.5f);
  EXPECT_EQ(exact_dense_type(weight.view()), DenseType::f16);
  weight(1, 1999) = std::bit_cast<float>(0x0fff0000u);  // a tiny value of 8 significant bits
  EXPECT_EQ(exact_dense_type(weight.view()), DenseType::bf16);
  weight(1, 1999) = 0.1f;
  EXPECT_EQ(exact_dense_type(weight.view()), DenseType::f32);
}

}  // namespace
}  // namespace lcomp
