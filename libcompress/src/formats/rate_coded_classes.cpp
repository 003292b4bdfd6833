#include "formats/rate_coded_classes.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <span>

#include "formats/block_coder.h"
#include "formats/trellis_kernels.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

constexpr int first_shape = 2;  // of the first fit, before the best is chosen
constexpr int moves = 8;        // that are tried at once: by -4 .. 3 classes
constexpr int farthest_move = moves / 2;
constexpr int most_rounds = 6;
constexpr std::uint64_t smallest_gain = 10000;  // a round that gains less than this part of all bits is the last
constexpr std::size_t chunk_codes = 65536;

constexpr int class_count = CodeTables::widest_class - CodeTables::smallest_class + 1;
constexpr std::size_t table_width = 96;  // classes, and room for moves beyond the first and the last
static_assert(class_count + moves <= static_cast<int>(table_width));

// Costs are in 1/256 bits and limited to 32 bits, so that 16 bits hold the sum of eight.
constexpr float bit_cost = 256;
constexpr float largest_cost = 8191;
constexpr std::size_t codes_summed = 8;
using ShortSums = std::array<std::uint16_t, moves>;

// One in the middle of those of an index.
constexpr std::int32_t magnitude_at(std::size_t index) {
  if (index < 32) return static_cast<std::int32_t>(index);
  const std::size_t octave = (index - 32) / 8;
  return static_cast<std::int32_t>(((8 + (index - 32) % 8) << (octave + 2)) + (std::size_t{1} << octave << 1));
}
static_assert(magnitude_index(2 * largest_rate_code + 1) < magnitude_count);
static_assert(magnitude_index(35) == 32 && magnitude_index(36) == 33 && magnitude_index(64) == 40);
static_assert(magnitude_index(static_cast<std::uint32_t>(magnitude_at(70))) == 70);

// Costs of each magnitude in all classes, those of a level and its negative averaged. Which parity a state has follows
// from the level.
struct CostTable {
  std::array<std::array<std::uint16_t, table_width>, magnitude_count> costs{};

  CostTable(int spacing, int shape) {
    const CodeTables& tables = CodeTables::of(spacing, shape);
    const auto cost = [&](int magnitude_class, std::int32_t level) {
      const std::int32_t parity = spacing == 2 ? level & 1 : 0;
      const std::int32_t code = (level - parity) / spacing;
      return code_bits(tables, static_cast<unsigned>(parity), class_code(magnitude_class), code);
    };
    for (std::size_t m = 0; m < magnitude_count; ++m) {
      const std::int32_t level = std::min(magnitude_at(m), largest_rate_code);
      for (std::size_t at = 0; at < table_width; ++at) {
        const int c = CodeTables::smallest_class + std::clamp(static_cast<int>(at) - farthest_move, 0, class_count - 1);
        const float both = 0.5f * (cost(c, level) + cost(c, -level));
        costs[m][at] = static_cast<std::uint16_t>(std::min(largest_cost, bit_cost * both + 0.5f));
      }
    }
  }

  // The costs in the classes that moves lead to from a class, counted from the smallest.
  const std::uint16_t* after_moves(std::uint8_t magnitude, int class_index) const {
    return &costs[magnitude][static_cast<std::size_t>(class_index)];
  }
};

class ClassFit {
 public:
  ClassFit(const RateCodedCodes& codes, std::size_t block_rows)
      : rows_(codes.rows),
        cols_(codes.cols),
        chunk_rows_(std::max<std::size_t>(1, chunk_codes / codes.cols)),
        trellis_(codes.trellis_memory),
        magnitudes_(codes.codes.size()),
        row_classes_(codes.rows),
        col_classes_(codes.cols) {
    guess(codes, block_rows);
  }

  // Moves each row to the best of the classes near its present one. What the codes cost then.
  std::uint64_t fit_rows(const CostTable& table) {
    std::atomic<std::uint64_t> total = 0;
    for_each_chunk([&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) {
        std::array<std::uint64_t, moves> costs{};
        for (std::size_t j = 0; j < cols_; j += codes_summed) {
          const ShortSums sums = sum_moves(table, i, 0, j, 1, std::min(codes_summed, cols_ - j));
          for (std::size_t m = 0; m < moves; ++m) costs[m] += sums[m];
        }
        const int move = best_move(costs.data());
        row_classes_[i] += move;
        total += costs[static_cast<std::size_t>(move + farthest_move)];
      }
    });
    return total;
  }

  void fit_cols(const CostTable& table) {
    std::vector<std::uint64_t> costs(cols_ * moves, 0);
    for_each_chunk([&](std::size_t first, std::size_t last) {
      std::vector<std::uint32_t> partial(cols_ * moves, 0);
      for (std::size_t i = first; i < last; i += codes_summed) {
        const std::size_t count = std::min(codes_summed, last - i);
        for (std::size_t j = 0; j < cols_; ++j) {
          const ShortSums sums = sum_moves(table, i, 1, j, 0, count);
          for (std::size_t m = 0; m < moves; ++m) partial[j * moves + m] += sums[m];
        }
      }
      add(partial, costs);
    });
    for (std::size_t j = 0; j < cols_; ++j) col_classes_[j] += best_move(&costs[j * moves]);
  }

  // The shape under which the present classes, all moved by the same number, cost least; moves the rows by it.
  int choose_shape() {
    std::vector<std::uint64_t> counts(magnitude_count * class_count, 0);
    for_each_chunk([&](std::size_t first, std::size_t last) {
      std::vector<std::uint32_t> partial(counts.size(), 0);
      for (std::size_t i = first; i < last; ++i) {
        const std::uint8_t* row = &magnitudes_[i * cols_];
        for (std::size_t j = 0; j < cols_; ++j) {
          ++partial[row[j] * std::size_t{class_count} + static_cast<std::size_t>(class_index(i, j))];
        }
      }
      add(partial, counts);
    });
    int best_shape = 0;
    int best = 0;
    std::uint64_t least = 0;
    for (int shape = 0; shape < CodeTables::shapes; ++shape) {
      const CostTable table(trellis_.spacing(), shape);
      std::array<std::uint64_t, moves> costs{};
      for (std::size_t m = 0; m < magnitude_count; ++m) {
        for (int c = 0; c < class_count; ++c) {
          const std::uint64_t count = counts[m * class_count + static_cast<std::size_t>(c)];
          if (count == 0) continue;
          const std::uint16_t* after = table.after_moves(static_cast<std::uint8_t>(m), c);
          for (std::size_t k = 0; k < moves; ++k) costs[k] += count * after[k];
        }
      }
      const int move = best_move(costs.data());
      const std::uint64_t cost = costs[static_cast<std::size_t>(move + farthest_move)];
      if (shape == 0 || cost < least) least = cost, best_shape = shape, best = move;
    }
    for (int& row : row_classes_) row += best;
    return best_shape;
  }

  CodeClasses result(int shape) const {
    return {shape, {row_classes_.begin(), row_classes_.end()}, {col_classes_.begin(), col_classes_.end()}};
  }

 private:
  template <typename Body>
  void for_each_chunk(const Body& body) {
    parallel_chunks(0, rows_, chunk_rows_, body);
  }

  // Magnitudes of the levels, and classes as if all codes of a row or column were of the class of their mean.
  void guess(const RateCodedCodes& codes, std::size_t block_rows) {
    std::vector<std::uint64_t> row_sums(rows_, 0);
    std::vector<std::uint64_t> col_sums(cols_, 0);
    parallel_chunks(0, rows_, block_rows, [&](std::size_t first, std::size_t last) {
      std::vector<std::uint64_t> partial(cols_, 0);
      std::vector<std::uint32_t> states(cols_, 0);
      for (std::size_t i = first; i < last; ++i) {
        if ((i - first) % codes.chain_rows == 0) std::fill(states.begin(), states.end(), 0u);
        row_sums[i] = magnitudes_of_row(trellis_, std::span(codes.codes).subspan(i * cols_, cols_), states.data(),
                                        &magnitudes_[i * cols_], partial.data());
      }
      add(partial, col_sums);
    });
    std::uint64_t sum = 0;
    for (const std::uint64_t row : row_sums) sum += row;
    const std::vector<float>& means = CodeTables::of(trellis_.spacing(), first_shape).magnitude;
    const auto class_for = [&means](std::uint64_t total, std::size_t count) {
      const double mean = static_cast<double>(total) / static_cast<double>(count);
      if (mean >= double{means.back()}) {
        return CodeTables::largest_class + static_cast<int>(std::lround(4 * std::log2(mean / double{means.back()})));
      }
      const auto above = std::lower_bound(means.begin(), means.end(), static_cast<float>(mean));
      return CodeTables::smallest_class + static_cast<int>(above - means.begin());
    };
    const int overall = class_for(sum, rows_ * cols_);
    for (std::size_t i = 0; i < rows_; ++i) row_classes_[i] = class_for(row_sums[i], cols_);
    for (std::size_t j = 0; j < cols_; ++j) col_classes_[j] = class_for(col_sums[j], rows_) - overall;
  }

  template <typename From>
  void add(const std::vector<From>& from, std::vector<std::uint64_t>& to) {
    const std::lock_guard lock(adding_);  // sums of whole numbers: any order gives the same
    for (std::size_t k = 0; k < from.size(); ++k) to[k] += from[k];
  }

  int class_index(std::size_t i, std::size_t j) const {
    return std::clamp(row_classes_[i] + col_classes_[j] - CodeTables::smallest_class, 0, class_count - 1);
  }

  // Costs after each move of `count` codes, at most codes_summed, from (i, j) on, by steps of (down, across).
  ShortSums sum_moves(const CostTable& table, std::size_t i, std::size_t down, std::size_t j, std::size_t across,
                      std::size_t count) const {
    ShortSums sums{};
    for (std::size_t k = 0; k < count; ++k, i += down, j += across) {
      const std::uint16_t* costs = table.after_moves(magnitudes_[i * cols_ + j], class_index(i, j));
      for (std::size_t m = 0; m < moves; ++m) sums[m] = static_cast<std::uint16_t>(sums[m] + costs[m]);
    }
    return sums;
  }

  // The cheapest move, the smallest of equals.
  static int best_move(const std::uint64_t* costs) {
    int best = 0;
    for (int move = -farthest_move; move < farthest_move; ++move) {
      const std::uint64_t cost = costs[move + farthest_move];
      const std::uint64_t least = costs[best + farthest_move];
      if (cost < least || (cost == least && std::abs(move) < std::abs(best))) best = move;
    }
    return best;
  }

  const std::size_t rows_, cols_, chunk_rows_;
  const Trellis trellis_;
  std::vector<std::uint8_t> magnitudes_;  // of levels, as indices
  std::vector<int> row_classes_, col_classes_;
  std::mutex adding_;
};

}  // namespace

CodeClasses fit_code_classes(const RateCodedCodes& codes, std::size_t block_rows) {
  ClassFit fit(codes, block_rows);
  const int spacing = Trellis(codes.trellis_memory).spacing();
  const CostTable first(spacing, first_shape);
  fit.fit_cols(first);
  fit.fit_rows(first);
  const int shape = fit.choose_shape();
  const CostTable table(spacing, shape);
  std::uint64_t before = std::numeric_limits<std::uint64_t>::max();
  for (int round = 0; round < most_rounds; ++round) {
    fit.fit_cols(table);
    const std::uint64_t cost = fit.fit_rows(table);
    if (cost >= before - before / smallest_gain) break;
    before = cost;
  }
  return fit.result(shape);
}

}  // namespace lcomp
