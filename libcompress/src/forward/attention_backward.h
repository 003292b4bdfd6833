#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "forward/attention.h"
#include "lcomp/core/matrix.h"

namespace lcomp {

// A whole sequence of a chunk: row first_row + i is the token at position i.
struct AttentionSequence {
  std::size_t first_row = 0;
  std::size_t rows = 0;
};

// Working memory of attention_backward(), kept between calls. A thread needs 5 matrices [rows, head_dim] of the longest
// sequence (head_dim rounded up to 16), and the scores of one block of queries with all keys, about 1 MiB (more
// beyond 5000 tokens, twice that with a soft cap).
struct AttentionBackwardScratch {
  std::vector<AlignedBuffer<float>> workers;
};

// Gradients of a cost through attention() on whole sequences. With P = softmax(s), s = cap(z), z = scale q k^T:
//   dV = P^T dO,   dP = dO V^T,   ds = P o (dP - D), D_i = sum(dO_i o O_i),   dz = ds o (1 - (s / c)^2),
//   dQ = scale dz K,   dK = scale dz^T Q
// queries, out, out_gradient (dO), query_gradient: [tokens, num_heads * head_dim]; keys, values and their gradients:
// [tokens, num_key_value_heads * head_dim]. Queries and keys with the rotary embedding applied, `out` as attention()
// computed it. Views may be columns of wider matrices. The gradients of the rows of `sequences` are written; each may
// be the memory of its operand, and query_gradient that of out_gradient. Source: arXiv 2307.08691, algorithm 2, with
// the loops the other way round: scores exist for one block of queries times all keys, so that the softmax is
// recomputed once. Five products, like the forward pass's two: 2.5 times its work. Work is shared out by sequence and
// key-value head, so that each sum has one owner and one order: the result does not depend on the number of threads
// (and no more threads than sequences times key-value heads have work).
void attention_backward(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                        ConstMatrixView queries, ConstMatrixView keys, ConstMatrixView values, ConstMatrixView out,
                        ConstMatrixView out_gradient, MatrixView<float> query_gradient, MatrixView<float> key_gradient,
                        MatrixView<float> value_gradient, AttentionBackwardScratch& scratch);

}  // namespace lcomp
