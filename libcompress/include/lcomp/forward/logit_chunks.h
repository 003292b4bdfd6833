#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "lcomp/core/matrix.h"
#include "lcomp/forward/cost.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// From final states (Decoder::forward(), [tokens, hidden]) to logits and on, `rows_at_once` rows at a time: a
// vocabulary is large, and this many rows of logits are in memory. How many there are decides the shape of the
// products, and with it how float32 sums are rounded: the same number gives the same bits.

// logits: [n, vocab], those of rows first ... first + n - 1; `use` may change them. Called in order.
using UseLogits = std::function<void(std::size_t first, MatrixView<float> logits)>;

// All rows of `states`.
void for_each_logits(Decoder& decoder, ConstMatrixView states, std::size_t rows_at_once, const UseLogits& use);

// Some rows of `states`: row i of `logits` is that of rows[first + i].
void for_each_logits(Decoder& decoder, ConstMatrixView states, std::span<const std::size_t> rows,
                     std::size_t rows_at_once, const UseLogits& use);

// The cost of a batch whose states these are, without its gradient.
double cost_of_states(Decoder& decoder, ConstMatrixView states, LogitCost& cost, std::size_t rows_at_once);

// The `count` most likely next tokens of each of these tokens, ascending; the others of the batch have none.
TopTokens top_tokens(Decoder& decoder, ConstMatrixView states, std::span<const std::size_t> tokens, std::size_t count,
                     std::size_t rows_at_once);

}  // namespace lcomp
