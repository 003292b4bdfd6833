#include "lcomp/formats/rate_coded.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/instruction_sets.h"
#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/trellis.h"
#include "support/error_message.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

// Codes whose magnitude differs from row to row and column to column, about `scale`.
RateCodedCodes random_codes(std::size_t rows, std::size_t cols, double scale, int trellis_memory) {
  Rng rng(7);
  RateCodedCodes codes;
  codes.rows = rows;
  codes.cols = cols;
  codes.trellis_memory = trellis_memory;
  codes.chain_rows = 16;
  codes.base_step = 0.01f;
  std::vector<double> row_scales(rows), col_scales(cols);
  for (double& s : row_scales) s = std::exp(0.5 * rng.normal());
  for (double& s : col_scales) s = std::exp(0.5 * rng.normal());
  for (std::size_t i = 0; i < rows; ++i) codes.row_steps.push_back(static_cast<std::uint8_t>(rng.uniform(0, 12)));
  for (std::size_t j = 0; j < cols; ++j) codes.col_steps.push_back(static_cast<std::uint8_t>(rng.uniform(3, 20)));
  // As an encoder that doesn't look ahead: the level nearest to a normal number among those of the state.
  const Trellis trellis(Trellis::has_memory(trellis_memory) ? trellis_memory : 0);
  std::vector<std::uint32_t> states(cols, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    if (i % codes.chain_rows == 0) std::fill(states.begin(), states.end(), 0u);
    for (std::size_t j = 0; j < cols; ++j) {
      const double target = scale * row_scales[i] * col_scales[j] * rng.normal();
      const double offset = trellis.level(states[j], 0);
      const auto code = static_cast<std::int32_t>(std::lround((target - offset) / trellis.spacing()));
      codes.codes.push_back(code);
      states[j] = trellis.next(states[j], code);
    }
  }
  return codes;
}

struct CodedShape {
  std::size_t rows, cols;
};
const CodedShape coded_shapes[] = {{1, 1}, {3, 5}, {7, 33}, {1, 700}, {700, 1}, {17, 32}, {67, 96}, {130, 300}};

TEST(RateCodedTest, DecodesTheCodesThatWereEncoded) {
  for (const auto& [rows, cols] : coded_shapes) {
    for (const double scale : {0.0, 0.02, 0.4, 3.0, 40.0, 5000.0}) {
      for (const int memory : {0, 2, 3, 6}) {
        SCOPED_TRACE(::testing::Message() << rows << " x " << cols << ", scale " << scale << ", memory " << memory);
        const RateCodedCodes codes = random_codes(rows, cols, scale, memory);
        const RateCodedWeight weight = encode_rate_coded(codes, "w");
        testing::for_each_instruction_set(
            [&](const char* target) { EXPECT_EQ(decode_codes(view(weight)).codes, codes.codes) << target; });
        const RateCodedCodes decoded = decode_codes(view(weight));
        EXPECT_EQ(decoded.row_steps, codes.row_steps);
        EXPECT_EQ(decoded.col_steps, codes.col_steps);
        EXPECT_EQ(decoded.base_step, codes.base_step);
        EXPECT_EQ(decoded.trellis_memory, memory);
        check_contents(view(weight), "w");
      }
    }
  }
}

TEST(RateCodedTest, WeightsAreLevelsTimesSteps) {
  // Column 0 with 4 states (h0 = 5, h1 = 2), codes 1, 0, -1 from state 0: level 2; next state (odd code) 1: level
  // 2 * 0 + 1 = 1; from there (odd state) 0 ^ 5 >> 1 = 2: level 2 * -1 + 0 = -2.
  RateCodedCodes codes;
  codes.rows = 3;
  codes.cols = 2;
  codes.trellis_memory = 2;
  codes.base_step = 0.5f;
  codes.row_steps = {0, 4, 8};
  codes.col_steps = {4, 0};
  codes.codes = {1, 0, 0, 0, -1, 2};
  const RateCodedWeight weight = encode_rate_coded(codes, "w");
  const Matrix decoded = decode(CompressedWeightView(view(weight)));
  const float expected[] = {2 * 0.5f * 2, 0, 1 * 0.5f * 4, 0, -2 * 0.5f * 8, 4 * 0.5f * 4};
  for (std::size_t k = 0; k < 6; ++k) EXPECT_EQ(decoded.data()[k], expected[k]) << k;
}

TEST(RateCodedTest, EveryInstructionSetDecodesTheSameWeights) {
  for (const int memory : {0, 3}) {
    for (const double scale : {0.1, 2.0, 500.0}) {
      const RateCodedCodes codes = random_codes(50, 107, scale, memory);
      const RateCodedWeight weight = encode_rate_coded(codes, "w");
      const std::vector<float> powers = step_powers(codes.steps_per_octave);
      std::vector<float> expected;
      std::vector<std::uint32_t> states(107, 0);
      const Trellis trellis(memory);
      for (std::size_t i = 0; i < 50; ++i) {
        if (i % codes.chain_rows == 0) std::fill(states.begin(), states.end(), 0u);
        for (std::size_t j = 0; j < 107; ++j) {
          const std::int32_t code = codes.codes[i * 107 + j];
          const float step = codes.base_step * powers[std::size_t{codes.row_steps[i]} + codes.col_steps[j]];
          expected.push_back(static_cast<float>(trellis.level(states[j], code)) * step);
          states[j] = trellis.next(states[j], code);
        }
      }
      testing::for_each_instruction_set([&](const char* target) {
        const Matrix decoded = decode(CompressedWeightView(view(weight)));
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), decoded.data())) << target << " " << scale;
      });
    }
  }
}

TEST(RateCodedTest, BlocksDecodeTheSameTogetherAndAlone) {
  // Four blocks of which the last is short, and columns behind the last whole group.
  for (const int memory : {0, 3}) {
    for (const double scale : {0.5, 30.0}) {
      const RateCodedWeight weight = encode_rate_coded(random_codes(1800, 600, scale, memory), "w");
      ASSERT_EQ(block_count(weight), 4u);
      ASSERT_LT(weight.rows, 4 * weight.block_rows);
      std::vector<float> alone(1800 * 600);
      for (std::size_t first = 0; first < 1800; first += weight.block_rows) {
        const std::size_t count = std::min<std::size_t>(weight.block_rows, 1800 - first);
        decode_rows(view(weight), first, count, std::span(alone).subspan(first * 600, count * 600));
      }
      testing::for_each_instruction_set([&](const char* target) {
        std::vector<float> together(1800 * 600);
        decode_rows(view(weight), 0, 1800, together);
        EXPECT_EQ(together, alone) << target;
        // A part of the second of two.
        std::vector<float> part((weight.block_rows + 7) * 600);
        decode_rows(view(weight), weight.block_rows, weight.block_rows + 7, part);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), alone.begin() + 600 * static_cast<int>(weight.block_rows)))
            << target;
      });
    }
  }
}

TEST(RateCodedTest, SaysWhichOfTwoBlocksIsDamaged) {
  // Damage that the checksum, made anew, doesn't show: the coders don't end where they began.
  const RateCodedWeight good = encode_rate_coded(random_codes(900, 600, 3, 3), "w");
  ASSERT_EQ(block_count(good), 2u);
  std::uint32_t ends[4];
  std::memcpy(ends, good.blocks.data(), sizeof ends);
  for (const std::size_t block : {0u, 1u}) {
    RateCodedWeight weight = good;
    const std::size_t begin = block == 0 ? 0 : ends[0];
    weight.codes[begin + 500] ^= 4;
    const auto bytes = std::span<const std::uint8_t>(weight.codes).subspan(begin, ends[2 * block] - begin);
    const auto checksum = static_cast<std::uint32_t>(hash64(std::as_bytes(bytes)));
    std::memcpy(weight.blocks.data() + 8 * block + 4, &checksum, sizeof checksum);
    std::vector<float> out(900 * 600);
    EXPECT_THAT(testing::message([&] { decode_rows(view(weight), 0, 900, out); }),
                HasSubstr("block " + std::to_string(block) + " of 2"))
        << "block " << block << " was taken for good";
  }
}

TEST(RateCodedTest, KeptSideInformationIsThatOfTheBytes) {
  RateCodedWeight weight = encode_rate_coded(random_codes(40, 50, 2, 3), "w");
  RateCodedView kept = view(weight);
  keep_side(kept, "w");
  std::vector<float> expected(40 * 50), out(40 * 50);
  decode_rows(view(weight), 0, 40, expected);
  weight.side.assign(weight.side.size(), 0);  // is not read again
  decode_rows(kept, 0, 40, out);
  EXPECT_EQ(out, expected);
  RateCodedView damaged = view(weight);
  EXPECT_THROW(keep_side(damaged, "w"), Error);
}

TEST(RateCodedTest, EveryInstructionSetEncodesTheSameBytes) {
  for (const int memory : {0, 3}) {
    for (const double scale : {0.1, 2.0, 20.0, 500.0, 1e5}) {
      const RateCodedCodes codes = random_codes(50, 107, scale, memory);
      const RateCodedWeight expected = encode_rate_coded(codes, "w");
      testing::for_each_instruction_set([&](const char* target) {
        const RateCodedWeight weight = encode_rate_coded(codes, "w");
        EXPECT_EQ(weight.codes, expected.codes) << target << " " << scale;
        EXPECT_EQ(weight.side, expected.side) << target << " " << scale;
      });
    }
  }
}

TEST(RateCodedTest, StepsAreTheNearestFloats) {
  for (int per_octave = 1; per_octave <= largest_steps_per_octave; ++per_octave) {
    const std::vector<float> powers = step_powers(per_octave);
    ASSERT_EQ(powers.size(), 511u);
    for (int k = 0; k <= 510; ++k) {
      const auto expected = static_cast<float>(std::exp2(static_cast<long double>(k) / per_octave));
      EXPECT_EQ(powers[static_cast<std::size_t>(k)], expected) << k << " / " << per_octave;
    }
  }
}

TEST(RateCodedTest, ChainsBeginAgain) {
  // An odd code in the last row of a chain leaves no trace in the next: all zeros decode to zeros.
  RateCodedCodes codes = random_codes(40, 3, 0, 3);
  codes.codes[15 * 3 + 1] = 1;
  const Matrix decoded = decode(CompressedWeightView(view(encode_rate_coded(codes, "w"))));
  for (std::size_t i = 16; i < 40; ++i) EXPECT_EQ(decoded(i, 1), 0) << i;
  codes.codes[15 * 3 + 1] = 0;
  codes.codes[13 * 3 + 1] = 1;  // to state 2, then 1, whose levels are odd
  EXPECT_NE(decode(CompressedWeightView(view(encode_rate_coded(codes, "w"))))(15, 1), 0);
}

TEST(RateCodedTest, PartsOfTheRowsDecodeAlone) {
  const RateCodedWeight weight = encode_rate_coded(random_codes(900, 600, 3, 3), "w");
  ASSERT_GT(block_count(weight), 1u);
  const Matrix whole = decode(CompressedWeightView(view(weight)));
  for (const auto& [begin, count] :
       std::vector<std::pair<std::size_t, std::size_t>>{{0, 1}, {431, 5}, {899, 1}, {3, 890}, {447, 2}}) {
    std::vector<float> rows(count * 600);
    decode_rows(view(weight), begin, count, rows);
    EXPECT_TRUE(std::equal(rows.begin(), rows.end(), whole.row(begin).data()));
  }
}

TEST(RateCodedTest, TakesLittleMoreThanAnIdealCoder) {
  for (const int memory : {0, 3}) {
    for (const double scale : {0.3, 1.0, 4.0, 20.0, 300.0}) {
      const RateCodedWeight weight = encode_rate_coded(random_codes(512, 512, scale, memory), "w");
      const double bits = 8 * static_cast<double>(weight.code_bytes);
      EXPECT_LT(bits, 1.02 * ideal_code_bits(view(weight)) + 4000) << scale << " " << memory;
    }
  }
}

TEST(RateCodedTest, ZerosTakeHardlyAnything) {
  const RateCodedWeight weight = encode_rate_coded(random_codes(1000, 512, 0, 3), "w");
  EXPECT_LT(weight.code_bytes, 1000u * 512 / 8 / 50);
}

TEST(RateCodedTest, BitsOfRowsAndColumnsAreThoseOfTheStream) {
  const RateCodedWeight weight = encode_rate_coded(random_codes(200, 300, 2, 3), "w");
  const CodeBits bits = code_bits(view(weight));
  double by_rows = 0;
  double by_cols = 0;
  for (const double b : bits.rows) by_rows += b;
  for (const double b : bits.cols) by_cols += b;
  EXPECT_NEAR(by_rows, by_cols, 1e-6 * by_rows);
  EXPECT_NEAR(by_rows, 8 * static_cast<double>(weight.code_bytes), 0.02 * by_rows);
}

TEST(RateCodedTest, TheSameBytesOnAnyNumberOfThreads) {
  const RateCodedCodes codes = random_codes(900, 600, 3, 3);
  const std::size_t threads = thread_count();
  set_thread_count(1);
  const RateCodedWeight one = encode_rate_coded(codes, "w");
  set_thread_count(3);
  const RateCodedWeight three = encode_rate_coded(codes, "w");
  set_thread_count(threads);
  EXPECT_TRUE(one.codes == three.codes && one.side == three.side && one.blocks == three.blocks);
}

TEST(RateCodedTest, EveryDamagedByteIsFound) {
  RateCodedWeight weight = encode_rate_coded(random_codes(40, 50, 2, 3), "w");
  const auto is_refused = [&weight] {
    try {
      check_contents(view(weight), "w");
      decode(CompressedWeightView(view(weight)));
      return false;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::AnyOf(HasSubstr("damaged"), HasSubstr("block")));
      return true;
    }
  };
  EXPECT_FALSE(is_refused());
  for (std::size_t k = 0; k < weight.codes.size(); ++k) {
    weight.codes[k] ^= 4;
    EXPECT_TRUE(is_refused()) << k;
    weight.codes[k] ^= 4;
  }
  for (std::size_t k = 0; k < weight.blocks.size(); ++k) {
    weight.blocks[k] ^= 4;
    EXPECT_TRUE(is_refused()) << k;
    weight.blocks[k] ^= 4;
  }
}

TEST(RateCodedTest, ReadsNothingBeyondAnyBytes) {
  // With checksums that fit, whatever the bytes: an error or some weight, and no access outside (sanitizers watch).
  Rng rng(3);
  for (int round = 0; round < 200; ++round) {
    RateCodedWeight weight = encode_rate_coded(random_codes(20, 37, 2, 3), "w");
    std::vector<std::uint8_t>& part = round % 2 == 0 ? weight.codes : weight.side;
    for (int change = 0; change < 3; ++change) {
      part[static_cast<std::size_t>(rng.uniform(0, static_cast<double>(part.size())))] =
          static_cast<std::uint8_t>(rng.uniform(0, 256));
    }
    try {
      check_contents(view(weight), "w");
      decode(CompressedWeightView(view(weight)));
    } catch (const Error&) {
    }
  }
}

TEST(RateCodedTest, GainsMultiplyRows) {
  RateCodedCodes codes = random_codes(70, 33, 3, 3);
  const RateCodedWeight plain = encode_rate_coded(codes, "w");
  Rng rng(5);
  for (std::size_t i = 0; i < codes.rows; ++i) {
    codes.row_gains.push_back(static_cast<std::int16_t>(std::lround(20 * rng.normal())));
  }
  codes.row_gains[3] = largest_row_gain;
  codes.row_gains[4] = -largest_row_gain;
  const RateCodedWeight scaled = encode_rate_coded(codes, "w");
  EXPECT_EQ(decode_codes(view(scaled)).row_gains, codes.row_gains);
  EXPECT_EQ(scaled.codes, plain.codes);
  EXPECT_LT(scaled.side_bytes, plain.side_bytes + 80) << "about 6 bits each";
  const Matrix before = decode(CompressedWeightView(view(plain)));
  const Matrix after = decode(CompressedWeightView(view(scaled)));
  for (std::size_t i = 0; i < codes.rows; ++i) {
    const float gain = 1 + static_cast<float>(codes.row_gains[i]) / 1024;
    for (std::size_t j = 0; j < codes.cols; ++j) {
      EXPECT_NEAR(after(i, j), before(i, j) * gain, 1e-6F * std::abs(before(i, j)));
    }
  }
  const RateCodedWeight again = with_row_gains(plain, codes.row_gains, "w");
  EXPECT_EQ(again.side, scaled.side);
  EXPECT_TRUE(static_cast<const RateCodedLayout&>(again) == static_cast<const RateCodedLayout&>(scaled));
  const RateCodedWeight without = with_row_gains(scaled, {}, "w");
  EXPECT_EQ(without.side, plain.side);
  EXPECT_FALSE(without.row_gains);
}

TEST(RateCodedTest, RefusesGainsThatDontFit) {
  const RateCodedWeight weight = encode_rate_coded(random_codes(3, 4, 1, 0), "w");
  EXPECT_NO_THROW(with_row_gains(weight, {0, 1, -2}, "w"));
  EXPECT_THROW(with_row_gains(weight, {0, 1}, "w"), Error);
  EXPECT_THROW(with_row_gains(weight, {0, 1, largest_row_gain + 1}, "w"), Error);
  RateCodedCodes codes = random_codes(3, 4, 1, 0);
  codes.row_gains = {0, 1};
  EXPECT_THROW(encode_rate_coded(codes, "w"), Error);
}

TEST(RateCodedTest, RefusesWhatItCantStore) {
  RateCodedCodes codes = random_codes(3, 4, 1, 0);
  codes.codes[5] = largest_rate_code;
  EXPECT_NO_THROW(encode_rate_coded(codes, "w"));
  EXPECT_EQ(decode_codes(view(encode_rate_coded(codes, "w"))).codes[5], largest_rate_code);
  codes.codes[5] = -largest_rate_code - 1;
  EXPECT_THROW(encode_rate_coded(codes, "w"), Error);
  codes.codes[5] = std::numeric_limits<std::int32_t>::min();
  EXPECT_THROW(encode_rate_coded(codes, "w"), Error);
  codes = random_codes(3, 4, 1, 0);
  codes.base_step = 0;
  EXPECT_THROW(encode_rate_coded(codes, "w"), Error);
  codes = random_codes(3, 4, 1, 1);
  EXPECT_THROW(encode_rate_coded(codes, "w"), Error);
  codes = random_codes(3, 4, 1, 0);
  codes.row_steps.pop_back();
  EXPECT_THROW(encode_rate_coded(codes, "w"), Error);
  EXPECT_THROW(encode_rate_coded(random_codes(0, 4, 1, 0), "w"), Error);
}

TEST(RateCodedTest, RefusesImpossibleLayouts) {
  const RateCodedLayout good = encode_rate_coded(random_codes(40, 6, 2, 3), "w");
  EXPECT_NO_THROW(payload_bytes(good));
  const auto refuses = [&good](const auto& change) {
    RateCodedLayout layout = good;
    change(layout);
    EXPECT_THROW(payload_bytes(layout), Error);
  };
  refuses([](RateCodedLayout& l) { l.rows = 0; });
  refuses([](RateCodedLayout& l) { l.cols = 0; });
  refuses([](RateCodedLayout& l) { l.steps_per_octave = 17; });
  refuses([](RateCodedLayout& l) { l.distribution = 4; });
  refuses([](RateCodedLayout& l) { l.trellis_memory = 1; });
  refuses([](RateCodedLayout& l) { l.block_rows += 1; });
  refuses([](RateCodedLayout& l) { l.chain_rows = 0; });
  refuses([](RateCodedLayout& l) { l.code_bytes = 20; });  // six coders begin with 24 bytes
  refuses([](RateCodedLayout& l) { l.cols = largest_rate_block + 1; });
  refuses([](RateCodedLayout& l) { l.rows = std::numeric_limits<std::size_t>::max(); });
  refuses([](RateCodedLayout& l) { l.cols = largest_rate_block / 2; });
  refuses([](RateCodedLayout& l) { l.side_bytes = std::numeric_limits<std::uint64_t>::max(); });
}

}  // namespace
}  // namespace lcomp
