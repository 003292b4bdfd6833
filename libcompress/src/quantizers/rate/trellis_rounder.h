#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/trellis.h"
#include "quantizers/feedback/error_feedback.h"
#include "quantizers/rate/code_rates.h"

namespace lcomp {

// What rounding to rate-coded levels works on. All spans are of the whole weight and in its own order.
struct TrellisRounding {
  Trellis trellis{0};
  const CodeRates* rates = nullptr;  // of the trellis
  // Lagrange multiplier of the bits: the codes minimise (error / step)^2 + bit_price * bits over each chain.
  float bit_price = 0;
  std::size_t chain_rows = 0;                             // rows of a column that one chain goes through
  std::span<const float> row_steps, col_steps;            // [rows], [cols]: step_ij = row_steps[i] * col_steps[j]
  std::span<const float> row_magnitudes, col_magnitudes;  // log2 of the mean |w_ij| / step_ij: their sum
  std::span<const std::uint32_t> order;  // the column at each position of the loop of error compensation
  MatrixView<std::int32_t> codes;        // [rows, cols], written
};

// Chooses the codes of a column by the Viterbi algorithm, chain by chain: a chain is the weights of one column in
// chain_rows consecutive rows (the last may be shorter). Rows first_row ... must begin a chain. 2 states operations a
// weight. With a trellis of one state every weight is rounded for itself.
std::unique_ptr<ColumnRounder> make_trellis_rounder(const TrellisRounding& rounding, std::size_t first_row,
                                                    std::size_t row_count);

}  // namespace lcomp
