// Compiled once per instruction set by Highway's foreach_target, but for those that tile_product-inl.h excludes.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forward/attention_backward.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "forward/attention_backward.h"
#include "forward/tile_product-inl.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <limits>

#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

#ifndef LCOMP_ATTENTION_BACKWARD_TASK
#define LCOMP_ATTENTION_BACKWARD_TASK
namespace lcomp {
namespace {

struct Operands {
  ConstMatrixView queries, keys, values, out, out_gradient;
  MatrixView<float> query_gradient, key_gradient, value_gradient;
};

// One key-value head of one sequence.
struct Task {
  AttentionSequence sequence;
  std::size_t head = 0;
};

constexpr std::size_t tile_tokens = 64;  // keys

// Sizes of a task's working memory, in floats.
struct TaskSizes {
  std::size_t group;   // query heads of a key-value head
  std::size_t stride;  // of a row of a head: head_dim rounded up to 16
  std::size_t tiles;
  std::size_t block_tokens;  // queries at a time
  std::size_t block_rows;    // times the heads of the group

  TaskSizes(const AttentionShape& shape, std::size_t tokens)
      : group(shape.num_heads / shape.num_key_value_heads),
        stride(divide_up<std::size_t>(shape.head_dim, 16) * 16),
        tiles(divide_up(tokens, tile_tokens)) {
    // The scores of a block stay in the second-level cache; enough rows to make each visit of a tile worth while.
    constexpr std::size_t scores_wanted = 1 << 18, fewest = 48, most = 192;
    const std::size_t rows = std::clamp(scores_wanted / (tiles * tile_tokens), fewest, most);
    block_tokens = std::min(tokens, std::clamp<std::size_t>(rows / group, 1, tile_tokens));
    block_rows = block_tokens * group;
  }
  std::size_t head_matrix() const { return tiles * tile_tokens * stride; }
  std::size_t block_matrix() const { return block_rows * stride; }
  std::size_t tile_scores() const { return block_rows * tile_tokens; }
  std::size_t scores() const { return tiles * tile_scores(); }
  std::size_t total(bool softcap) const {
    return 5 * head_matrix() + 3 * block_matrix() + (softcap ? 2 : 1) * scores() + tile_scores() + 2 * block_rows;
  }
};

// Working memory of a task and what its loops share.
struct TaskState {
  const AttentionShape& shape;
  const TaskSizes sizes;
  std::size_t tokens;

  float* keys_transposed;    // [tile][head_dim][64 tokens]
  float* values_transposed;  // [tile][head_dim][64 tokens]
  float* keys;               // [tokens, stride]
  float* key_gradient;       // [tokens, stride]
  float* value_gradient;     // [tokens, stride]
  float* queries;            // [rows of the block, stride]: row token * group + head of the group; times scale
  float* out_gradient;       // [rows, stride]
  float* query_gradient;     // [rows, stride]: to be multiplied by scale
  float* weights;            // [tile][rows][64]: scores, then what their exponentials are
  float* capped;             // [tile][rows][64]: scores after the soft cap, where there is one
  float* score_gradient;     // [rows, 64]: of one tile
  float* inverse_sums;       // [rows]: of the exponentials
  float* dot_products;       // [rows]: D

  TaskState(const AttentionShape& s, std::size_t n, float* memory) : shape(s), sizes(s, n), tokens(n) {
    const auto take = [&memory](std::size_t size) {
      float* const taken = memory;
      memory += size;
      return taken;
    };
    keys_transposed = take(sizes.head_matrix());
    values_transposed = take(sizes.head_matrix());
    keys = take(sizes.head_matrix());
    key_gradient = take(sizes.head_matrix());
    value_gradient = take(sizes.head_matrix());
    queries = take(sizes.block_matrix());
    out_gradient = take(sizes.block_matrix());
    query_gradient = take(sizes.block_matrix());
    weights = take(sizes.scores());
    score_gradient = take(sizes.tile_scores());
    capped = shape.softcap > 0 ? take(sizes.scores()) : nullptr;
    inverse_sums = take(sizes.block_rows);
    dot_products = take(sizes.block_rows);
  }
};

// The queries of a block, and what part of a tile they see.
struct Block {
  std::size_t first_token;
  std::size_t rows;
  std::size_t first_tile, end_tile;

  // Rows that see any key of the tile, as a half-open range: causality hides it from the first ones, the window from
  // the last ones.
  std::size_t first_row(std::size_t tile, std::size_t group) const {
    const std::size_t first_key = tile * tile_tokens;
    return first_key > first_token ? (first_key - first_token) * group : 0;
  }
  std::size_t end_row(std::size_t tile, std::size_t group, std::size_t window) const {
    if (window == 0) return rows;
    const std::size_t end_position = tile * tile_tokens + tile_tokens - 1 + window;  // the last key is out of reach
    return end_position <= first_token ? 0 : std::min(rows, (end_position - first_token) * group);
  }
};

}  // namespace
}  // namespace lcomp
#endif

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The operands of one head, zeros where rows are padded.
void pack_keys_and_values(const Operands& operands, const Task& task, TaskState& state) {
  const std::size_t head_dim = state.shape.head_dim, stride = state.sizes.stride;
  std::fill_n(state.keys_transposed, 5 * state.sizes.head_matrix(), 0.0f);
  for (std::size_t t = 0; t < state.tokens; ++t) {
    const float* key = operands.keys.row(task.sequence.first_row + t).data() + task.head * head_dim;
    const float* value = operands.values.row(task.sequence.first_row + t).data() + task.head * head_dim;
    std::copy_n(key, head_dim, state.keys + t * stride);
    const std::size_t column = t / tile_tokens * tile_tokens * stride + t % tile_tokens;
    for (std::size_t i = 0; i < head_dim; ++i) {
      state.keys_transposed[column + i * tile_tokens] = key[i];
      state.values_transposed[column + i * tile_tokens] = value[i];
    }
  }
}

void pack_queries(const Operands& operands, const Task& task, const Block& block, TaskState& state) {
  const std::size_t head_dim = state.shape.head_dim, stride = state.sizes.stride, group = state.sizes.group;
  for (std::size_t r = 0; r < block.rows; ++r) {
    const std::size_t row = task.sequence.first_row + block.first_token + r / group;
    const std::size_t column = (task.head * group + r % group) * head_dim;
    const float* query = operands.queries.row(row).data() + column;
    const float* out = operands.out.row(row).data() + column;
    const float* gradient = operands.out_gradient.row(row).data() + column;
    double product = 0;
    for (std::size_t i = 0; i < head_dim; ++i) {
      state.queries[r * stride + i] = query[i] * state.shape.scale;
      state.out_gradient[r * stride + i] = gradient[i];
      product += static_cast<double>(gradient[i]) * static_cast<double>(out[i]);
    }
    state.dot_products[r] = static_cast<float>(product);
    std::fill(state.queries + r * stride + head_dim, state.queries + (r + 1) * stride, 0.0f);
    std::fill(state.out_gradient + r * stride + head_dim, state.out_gradient + (r + 1) * stride, 0.0f);
  }
  std::fill_n(state.query_gradient, block.rows * stride, 0.0f);
}

// Scores of one row and one tile: soft cap, -infinity for keys that are not seen. Returns the largest.
float mask_scores(float softcap, std::size_t begin, std::size_t end, float* scores, float* capped) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  if (softcap > 0) {
    const auto cap = hn::Set(d, softcap), inverse = hn::Set(d, 1 / softcap);
    for (std::size_t i = 0; i < tile_tokens; i += lanes) {
      const auto s = hn::Mul(hn::Tanh(d, hn::Mul(hn::LoadU(d, scores + i), inverse)), cap);
      hn::StoreU(s, d, scores + i);
      hn::StoreU(s, d, capped + i);
    }
  }
  if (begin > 0) std::fill(scores, scores + begin, -std::numeric_limits<float>::infinity());
  if (end < tile_tokens) std::fill(scores + end, scores + tile_tokens, -std::numeric_limits<float>::infinity());
  auto highest = lowest;
  for (std::size_t i = 0; i < tile_tokens; i += lanes) highest = hn::Max(highest, hn::LoadU(d, scores + i));
  return hn::GetLane(hn::MaxOfLanes(d, highest));
}

// scores = exp(scores - maximum). Returns their sum.
float exponentials(float maximum, float* scores) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  const auto shift = hn::Set(d, maximum);
  auto total = hn::Zero(d);
  for (std::size_t i = 0; i < tile_tokens; i += lanes) {
    const auto weight = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + i), shift));
    total = hn::Add(total, weight);
    hn::StoreU(weight, d, scores + i);
  }
  return hn::GetLane(hn::SumOfLanes(d, total));
}

// Scores of the block with all keys it sees, and the softmax up to the division by inverse_sums.
void compute_weights(const Block& block, TaskState& state) {
  const AttentionShape& shape = state.shape;
  const std::size_t group = state.sizes.group, stride = state.sizes.stride;
  for (std::size_t tile = block.first_tile; tile < block.end_tile; ++tile) {
    const std::size_t begin = block.first_row(tile, group), end = block.end_row(tile, group, shape.window);
    if (begin >= end) continue;
    tile_product<false, false>(state.queries + begin * stride, stride,
                               state.keys_transposed + tile * tile_tokens * stride, tile_tokens,
                               state.weights + tile * state.sizes.tile_scores() + begin * tile_tokens, tile_tokens,
                               end - begin, shape.head_dim, tile_tokens);
  }
  for (std::size_t r = 0; r < block.rows; ++r) {
    const std::size_t position = block.first_token + r / group;
    const std::size_t first_key = shape.window != 0 && position + 1 > shape.window ? position + 1 - shape.window : 0;
    const std::size_t first_tile = first_key / tile_tokens, end_tile = position / tile_tokens + 1;
    float maximum = -std::numeric_limits<float>::infinity();
    for (std::size_t tile = first_tile; tile < end_tile; ++tile) {
      const std::size_t begin = tile == first_tile ? first_key % tile_tokens : 0;
      const std::size_t end = std::min(tile_tokens, position + 1 - tile * tile_tokens);
      const std::size_t at = tile * state.sizes.tile_scores() + r * tile_tokens;
      maximum = std::max(maximum, mask_scores(shape.softcap, begin, end, state.weights + at,
                                              state.capped == nullptr ? nullptr : state.capped + at));
    }
    double sum = 0;
    for (std::size_t tile = first_tile; tile < end_tile; ++tile) {
      const float part = exponentials(maximum, state.weights + tile * state.sizes.tile_scores() + r * tile_tokens);
      sum += static_cast<double>(part);
    }
    state.inverse_sums[r] = static_cast<float>(1 / sum);
  }
}

// weights *= inverse_sum; score_gradient: from dP to dz.
void row_score_gradient(float inverse_sum, float dot_product, float softcap, const float* capped, float* weights,
                        float* score_gradient) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  const auto factor = hn::Set(d, inverse_sum), shift = hn::Set(d, dot_product);
  for (std::size_t i = 0; i < tile_tokens; i += lanes) {
    const auto weight = hn::Mul(hn::LoadU(d, weights + i), factor);
    hn::StoreU(weight, d, weights + i);
    hn::StoreU(hn::Mul(weight, hn::Sub(hn::LoadU(d, score_gradient + i), shift)), d, score_gradient + i);
  }
  if (softcap > 0) {
    const auto inverse = hn::Set(d, 1 / softcap), one = hn::Set(d, 1.0f);
    for (std::size_t i = 0; i < tile_tokens; i += lanes) {
      const auto t = hn::Mul(hn::LoadU(d, capped + i), inverse);
      const auto slope = hn::Mul(hn::Sub(one, t), hn::Add(one, t));
      hn::StoreU(hn::Mul(hn::LoadU(d, score_gradient + i), slope), d, score_gradient + i);
    }
  }
}

// The gradients that the rows of the block contribute through one tile of keys.
void add_tile_gradients(const Block& block, std::size_t tile, TaskState& state) {
  const AttentionShape& shape = state.shape;
  const std::size_t group = state.sizes.group, stride = state.sizes.stride;
  const std::size_t begin = block.first_row(tile, group), end = block.end_row(tile, group, shape.window);
  if (begin >= end) return;
  const std::size_t rows = end - begin, keys = std::min(tile_tokens, state.tokens - tile * tile_tokens);
  const std::size_t head_at = tile * tile_tokens * stride, row_at = begin * stride;
  const std::size_t scores_at = tile * state.sizes.tile_scores() + begin * tile_tokens;
  float* weights = state.weights + scores_at;
  float* gradient = state.score_gradient;  // of row begin ...
  tile_product<false, false>(state.out_gradient + row_at, stride, state.values_transposed + head_at, tile_tokens,
                             gradient, tile_tokens, rows, shape.head_dim, tile_tokens);
  for (std::size_t r = 0; r < rows; ++r) {
    row_score_gradient(state.inverse_sums[begin + r], state.dot_products[begin + r], shape.softcap,
                       state.capped == nullptr ? nullptr : state.capped + scores_at + r * tile_tokens,
                       weights + r * tile_tokens, gradient + r * tile_tokens);
  }
  tile_product<true, true>(weights, tile_tokens, state.out_gradient + row_at, stride, state.value_gradient + head_at,
                           stride, keys, rows, stride);
  tile_product<true, true>(gradient, tile_tokens, state.queries + row_at, stride, state.key_gradient + head_at, stride,
                           keys, rows, stride);
  tile_product<false, true>(gradient, tile_tokens, state.keys + head_at, stride, state.query_gradient + row_at, stride,
                            rows, keys, stride);
}

void run_task(const AttentionShape& shape, const Task& task, const Operands& operands, float* memory) {
  TaskState state(shape, task.sequence.rows, memory);
  const std::size_t head_dim = shape.head_dim, stride = state.sizes.stride, group = state.sizes.group;
  pack_keys_and_values(operands, task, state);
  for (std::size_t token = 0; token < state.tokens; token += state.sizes.block_tokens) {
    const std::size_t block_tokens = std::min(state.sizes.block_tokens, state.tokens - token);
    Block block{token, block_tokens * group, 0, divide_up(token + block_tokens, tile_tokens)};
    if (shape.window != 0 && token + 1 > shape.window) block.first_tile = (token + 1 - shape.window) / tile_tokens;
    pack_queries(operands, task, block, state);
    compute_weights(block, state);
    for (std::size_t tile = block.first_tile; tile < block.end_tile; ++tile) add_tile_gradients(block, tile, state);
    for (std::size_t r = 0; r < block.rows; ++r) {
      float* to = operands.query_gradient.row(task.sequence.first_row + token + r / group).data() +
                  (task.head * group + r % group) * head_dim;
      for (std::size_t i = 0; i < head_dim; ++i) to[i] = state.query_gradient[r * stride + i] * shape.scale;
    }
  }
  for (std::size_t t = 0; t < state.tokens; ++t) {
    const std::size_t row = task.sequence.first_row + t;
    std::copy_n(state.key_gradient + t * stride, head_dim,
                operands.key_gradient.row(row).data() + task.head * head_dim);
    std::copy_n(state.value_gradient + t * stride, head_dim,
                operands.value_gradient.row(row).data() + task.head * head_dim);
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(run_task);

void attention_backward(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                        ConstMatrixView queries, ConstMatrixView keys, ConstMatrixView values, ConstMatrixView out,
                        ConstMatrixView out_gradient, MatrixView<float> query_gradient, MatrixView<float> key_gradient,
                        MatrixView<float> value_gradient, AttentionBackwardScratch& scratch) {
  assert(queries.cols() == shape.num_heads * shape.head_dim && out.cols() == queries.cols());
  assert(out_gradient.cols() == queries.cols() && query_gradient.cols() == queries.cols());
  assert(keys.cols() == shape.num_key_value_heads * shape.head_dim && values.cols() == keys.cols());
  assert(key_gradient.cols() == keys.cols() && value_gradient.cols() == keys.cols());
  const Operands operands{queries, keys, values, out, out_gradient, query_gradient, key_gradient, value_gradient};
  std::vector<Task> tasks;
  std::size_t memory = 0;
  std::size_t scores = 0;  // an estimate of the work
  for (const AttentionSequence& sequence : sequences) {
    if (sequence.rows == 0) continue;
    memory = std::max(memory, TaskSizes(shape, sequence.rows).total(shape.softcap > 0));
    scores += sequence.rows * sequence.rows;
    for (std::size_t head = 0; head < shape.num_key_value_heads; ++head) tasks.push_back({sequence, head});
  }
  // The longest first, so that no thread is left with one at the end.
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const Task& a, const Task& b) { return a.sequence.rows > b.sequence.rows; });

  constexpr std::size_t worth_a_thread = 1 << 16;  // multiplications
  const bool small = scores * shape.num_heads * shape.head_dim < worth_a_thread;
  const std::size_t workers = small ? std::min<std::size_t>(1, tasks.size()) : std::min(thread_count(), tasks.size());
  if (scratch.workers.size() < workers) scratch.workers.resize(workers);
  std::atomic<std::size_t> next = 0;
  parallel_for(0, workers, [&](std::size_t worker) {
    AlignedBuffer<float>& buffer = scratch.workers[worker];
    if (buffer.size() < memory) buffer = AlignedBuffer<float>(memory);
    for (std::size_t i = next++; i < tasks.size(); i = next++) {
      HWY_DYNAMIC_DISPATCH(run_task)(shape, tasks[i], operands, buffer.data());
    }
  });
}

}  // namespace lcomp
#endif
