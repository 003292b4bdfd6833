#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "block_coder.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/rate_coded.h"
#include "rate_coded_blocks.h"
#include "side_information.h"

namespace lcomp {
namespace {

constexpr std::size_t block_weights = 1u << 17;  // about so many in a block
constexpr int first_shape = 2;                   // for the first fit of classes
constexpr std::size_t sampled_weights = 1u << 18;  // that the shape is chosen on
constexpr std::size_t together = 64;             // rows or columns that a thread fits at a time

void check(const RateCodedCodes& codes, const std::string& where) {
  if (codes.codes.size() != checked_multiply(codes.rows, codes.cols, where) || codes.row_steps.size() != codes.rows ||
      codes.col_steps.size() != codes.cols) {
    throw Error({where, fmt::format("{} codes, {} row steps, {} column steps", codes.codes.size(),
                                    codes.row_steps.size(), codes.col_steps.size()),
                 fmt::format("those of {} x {}", codes.rows, codes.cols), ""});
  }
  if (!(codes.base_step > 0) || !std::isfinite(codes.base_step)) {
    throw Error({where, fmt::format("a base step of {}", codes.base_step), "a positive number", ""});
  }
  for (std::size_t k = 0; k < codes.codes.size(); ++k) {
    if (std::abs(codes.codes[k]) <= largest_rate_code) continue;
    throw Error({where, fmt::format("code {} in row {}, column {}", codes.codes[k], k / codes.cols, k % codes.cols),
                 fmt::format("-{0} to {0}", largest_rate_code), "use larger steps"});
  }
}

std::size_t block_rows_of(std::size_t chain_rows, std::size_t rows, std::size_t cols) {
  const std::size_t chains = std::max<std::size_t>(1, block_weights / cols / chain_rows);
  return std::min(chains, divide_up(rows, chain_rows)) * chain_rows;
}

// Fits the classes of rows and columns to the codes.
class ClassFit {
 public:
  ClassFit(const RateCodedCodes& codes, const RateCodedLayout& layout)
      : codes_(codes), trellis_(layout.trellis_memory), parities_(codes.codes.size(), 0) {
    row_classes.assign(codes.rows, 0);
    col_classes.assign(codes.cols, 0);
    find_means(layout);
  }

  int fit() {
    int shape = first_shape;
    shape = best_shape();
    for (int round = 0; round < 2; ++round) {
      refine_rows(shape);
      refine_columns(shape);
    }
    return best_shape();
  }

  std::vector<std::int16_t> row_classes, col_classes;

 private:
  unsigned parity(std::size_t i, std::size_t j) const { return parities_[i * codes_.cols + j]; }

  float bits(const CodeTables& tables, std::size_t i, std::size_t j, int shift) const {
    return code_bits(tables, parity(i, j), class_code(row_classes[i] + col_classes[j] + shift),
                     codes_.codes[i * codes_.cols + j]);
  }

  // Parities of all codes, and classes from the mean magnitudes of levels: a rank-one model.
  void find_means(const RateCodedLayout& layout) {
    const std::size_t rows = codes_.rows;
    const std::size_t cols = codes_.cols;
    std::vector<double> col_sums(cols, 0.0);
    std::vector<float> magnitudes(codes_.codes.size());
    std::vector<std::uint32_t> states(cols, 0);
    for (std::size_t i = 0; i < rows; ++i) {
      if (i % layout.block_rows % layout.chain_rows == 0) std::fill(states.begin(), states.end(), 0u);
      for (std::size_t j = 0; j < cols; ++j) {
        const std::size_t at = i * cols + j;
        const std::int32_t code = codes_.codes[at];
        parities_[at] = static_cast<std::uint8_t>(states[j] & 1u);
        magnitudes[at] = static_cast<float>(std::abs(trellis_.level(states[j], code)));
        states[j] = trellis_.next(states[j], code);
        col_sums[j] += static_cast<double>(magnitudes[at]);
      }
    }
    // A rank-one model a_i b_j of the magnitudes: b_j the column's mean, a_i such that the row's sums agree.
    constexpr double least = 1.0 / 1024;
    double all = 0;
    for (double& sum : col_sums) {
      sum = std::max(sum / static_cast<double>(rows), least);
      all += sum;
    }
    std::vector<double> row_factors(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < cols; ++j) sum += static_cast<double>(magnitudes[i * cols + j]);
      row_factors[i] = std::max(sum / all, least);
    }
    const CodeTables& tables = CodeTables::of(trellis_.spacing(), first_shape);
    for (std::size_t i = 0; i < rows; ++i) row_classes[i] = rounded(4 * std::log2(row_factors[i]));
    for (std::size_t j = 0; j < cols; ++j) col_classes[j] = class_of_mean(tables, col_sums[j]);
  }

  static std::int16_t rounded(double value) { return static_cast<std::int16_t>(std::lround(value)); }

  // The class whose levels have this mean magnitude.
  static std::int16_t class_of_mean(const CodeTables& tables, double mean) {
    if (mean >= static_cast<double>(tables.magnitude.back())) return rounded(4 * std::log2(mean));
    const auto above = std::lower_bound(tables.magnitude.begin(), tables.magnitude.end(), static_cast<float>(mean));
    return static_cast<std::int16_t>(CodeTables::smallest_class + (above - tables.magnitude.begin()));
  }

  int best_shape() const {
    int best = 0;
    double least = std::numeric_limits<double>::infinity();
    const std::size_t stride = std::max<std::size_t>(1, codes_.codes.size() / sampled_weights);
    for (int shape = 0; shape < CodeTables::shapes; ++shape) {
      const CodeTables& tables = CodeTables::of(trellis_.spacing(), shape);
      double sum = 0;
      for (std::size_t i = 0; i < codes_.rows; i += stride) {
        for (std::size_t j = 0; j < codes_.cols; ++j) sum += static_cast<double>(bits(tables, i, j, 0));
      }
      if (sum < least) {
        least = sum;
        best = shape;
      }
    }
    return best;
  }

  static constexpr std::array<int, 5> shifts = {-2, -1, 0, 1, 2};

  static int best_shift(const std::array<double, shifts.size()>& sums) {
    std::size_t best = shifts.size() / 2;
    for (std::size_t k = 0; k < shifts.size(); ++k) {
      if (sums[k] < sums[best]) best = k;
    }
    return shifts[best];
  }

  void refine_rows(int shape) {
    const CodeTables& tables = CodeTables::of(trellis_.spacing(), shape);
    parallel_for(
        0, codes_.rows,
        [&](std::size_t i) {
          std::array<double, shifts.size()> sums{};
          for (std::size_t j = 0; j < codes_.cols; ++j) {
            for (std::size_t k = 0; k < shifts.size(); ++k) {
              sums[k] += static_cast<double>(bits(tables, i, j, shifts[k]));
            }
          }
          row_classes[i] = static_cast<std::int16_t>(row_classes[i] + best_shift(sums));
        },
        together);
  }

  void refine_columns(int shape) {
    const CodeTables& tables = CodeTables::of(trellis_.spacing(), shape);
    const std::size_t stride = std::max<std::size_t>(1, codes_.rows / 4096);  // enough rows to tell
    parallel_chunks(0, codes_.cols, together, [&](std::size_t first, std::size_t last) {
      std::vector<std::array<double, shifts.size()>> sums(last - first);
      for (std::size_t i = 0; i < codes_.rows; i += stride) {
        for (std::size_t j = first; j < last; ++j) {
          for (std::size_t k = 0; k < shifts.size(); ++k) {
            sums[j - first][k] += static_cast<double>(bits(tables, i, j, shifts[k]));
          }
        }
      }
      for (std::size_t j = first; j < last; ++j) {
        col_classes[j] = static_cast<std::int16_t>(col_classes[j] + best_shift(sums[j - first]));
      }
    });
  }

  const RateCodedCodes& codes_;
  const Trellis trellis_;
  std::vector<std::uint8_t> parities_;  // of the states that codes are written in
};

void store_u32(std::uint8_t* to, std::uint32_t value) { std::memcpy(to, &value, sizeof value); }

}  // namespace

RateCodedWeight encode_rate_coded(const RateCodedCodes& codes, const std::string& where) {
  RateCodedWeight out;
  out.rows = codes.rows;
  out.cols = codes.cols;
  out.steps_per_octave = codes.steps_per_octave;
  out.trellis_memory = codes.trellis_memory;
  out.chain_rows = codes.chain_rows;
  out.block_rows = codes.cols == 0 || codes.chain_rows == 0
                       ? codes.chain_rows
                       : block_rows_of(codes.chain_rows, codes.rows, codes.cols);
  check_layout(out, where);
  check(codes, where);

  ClassFit classes(codes, out);
  out.distribution = classes.fit();
  SideInformation side = {codes.row_steps, codes.col_steps, std::move(classes.row_classes),
                          std::move(classes.col_classes)};
  out.side = encode_side(side);
  out.side_bytes = out.side.size();
  out.base_step.resize(4);
  std::memcpy(out.base_step.data(), &codes.base_step, 4);

  std::vector<std::vector<std::uint8_t>> blocks(block_count(out));
  parallel_for(0, blocks.size(), [&](std::size_t block) {
    const std::size_t first = block * out.block_rows;
    const std::size_t rows = std::min(out.block_rows, out.rows - first);
    blocks[block] = encode_block(block_model(out, side, block),
                                 std::span(codes.codes).subspan(first * out.cols, rows * out.cols));
  });
  out.blocks.resize(8 * blocks.size());
  for (std::size_t block = 0; block < blocks.size(); ++block) {
    out.codes.insert(out.codes.end(), blocks[block].begin(), blocks[block].end());
    store_u32(out.blocks.data() + 8 * block, checked_cast<std::uint32_t>(out.codes.size(), where));
    store_u32(out.blocks.data() + 8 * block + 4, block_checksum(blocks[block]));
  }
  out.code_bytes = out.codes.size();
  return out;
}

}  // namespace lcomp
