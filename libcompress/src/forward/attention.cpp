// Compiled once per instruction set by Highway's foreach_target, but for those that tile_product-inl.h excludes.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forward/attention.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "forward/attention.h"
#include "forward/tile_product-inl.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <limits>

#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

#ifndef LCOMP_ATTENTION_TASK
#define LCOMP_ATTENTION_TASK
namespace lcomp {
namespace {

// One block of consecutive query tokens of one span, for one key-value head.
struct Task {
  const AttentionSpan* span;
  std::size_t head;   // key-value head
  std::size_t token;  // first, within the span
  std::size_t tokens;
};

constexpr std::size_t tile_tokens = KeyValueCache::tile_tokens;
constexpr std::size_t rows_wanted =
    192;  // queries times heads of a group in a task: its buffers fit the second-level cache

std::size_t tokens_per_task(std::size_t group) { return std::clamp<std::size_t>(rows_wanted / group, 1, tile_tokens); }

// Floats of working memory: queries and scores, outputs, running maximum and sum.
std::size_t scratch_size(const AttentionShape& shape, std::size_t value_stride) {
  const std::size_t group = shape.num_heads / shape.num_key_value_heads;
  const std::size_t rows = tokens_per_task(group) * group;
  return rows * (divide_up<std::size_t>(shape.head_dim, 16) * 16 + tile_tokens + value_stride + 2);
}

}  // namespace
}  // namespace lcomp
#endif

HWY_BEFORE_NAMESPACE();
namespace lcomp::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One step of the online softmax for one row: scores of a tile become weights relative to the new maximum; the row's
// output and sum so far are rescaled to it. Only keys begin ... end - 1 of the tile are seen; the other weights become
// 0.
void softmax_step(float* scores, std::size_t begin, std::size_t end, float softcap, float* out, std::size_t out_width,
                  float* maximum, float* sum) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  const float lowest = -std::numeric_limits<float>::infinity();
  if (begin > 0) std::fill(scores, scores + begin, lowest);
  if (end < tile_tokens) std::fill(scores + end, scores + tile_tokens, lowest);
  if (softcap > 0) {
    const auto cap = hn::Set(d, softcap), inverse = hn::Set(d, 1 / softcap);
    for (std::size_t i = begin / lanes * lanes; i < end; i += lanes) {
      const auto s = hn::LoadU(d, scores + i);
      const auto capped = hn::Mul(hn::Tanh(d, hn::Mul(s, inverse)), cap);
      hn::StoreU(hn::IfThenElse(hn::Gt(s, hn::Set(d, lowest)), capped, s), d, scores + i);
    }
  }
  auto highest = hn::Set(d, lowest);
  for (std::size_t i = 0; i < tile_tokens; i += lanes) highest = hn::Max(highest, hn::LoadU(d, scores + i));
  const float new_maximum = std::max(*maximum, hn::GetLane(hn::MaxOfLanes(d, highest)));
  const auto shift = hn::Set(d, new_maximum);
  auto total = hn::Zero(d);
  for (std::size_t i = 0; i < tile_tokens; i += lanes) {
    const auto weight = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + i), shift));
    total = hn::Add(total, weight);
    hn::StoreU(weight, d, scores + i);
  }
  if (new_maximum != *maximum) {
    const float correction = std::exp(*maximum - new_maximum);  // 0 for the first tile
    const auto factor = hn::Set(d, correction);
    for (std::size_t i = 0; i < out_width; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, out + i), factor), d, out + i);
    *sum *= correction;
    *maximum = new_maximum;
  }
  *sum += hn::GetLane(hn::SumOfLanes(d, total));
}

void run_task(const AttentionShape& shape, const Task& task, ConstMatrixView queries, MatrixView<float> out,
              float* scratch) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  const KeyValueCache& cache = *task.span->cache;
  const std::size_t group = shape.num_heads / shape.num_key_value_heads;
  const std::size_t rows = task.tokens * group;
  const std::size_t width = cache.value_stride();
  const std::size_t query_stride = divide_up<std::size_t>(shape.head_dim, 16) * 16;
  float* packed = scratch;                       // [rows, query_stride]: row token * group + head of the group
  float* scores = packed + rows * query_stride;  // [rows, tile_tokens]
  float* sums = scores + rows * tile_tokens;     // [rows, width]: the outputs so far, times `totals`
  float* maxima = sums + rows * width;           // [rows]
  float* totals = maxima + rows;                 // [rows]
  std::fill(sums, sums + rows * width, 0.0f);
  std::fill(maxima, maxima + rows, -std::numeric_limits<float>::infinity());
  std::fill(totals, totals + rows, 0.0f);
  for (std::size_t r = 0; r < rows; ++r) {
    const float* query = queries.row(task.span->first_row + task.token + r / group).data() +
                         (task.head * group + r % group) * shape.head_dim;
    for (std::size_t i = 0; i < shape.head_dim; ++i) packed[r * query_stride + i] = query[i] * shape.scale;
  }
  const std::size_t first_position = task.span->first_position + task.token;
  const std::size_t end_position = first_position + task.tokens;  // keys needed: all below
  const std::size_t begin_key =
      shape.window != 0 && first_position + 1 > shape.window ? first_position + 1 - shape.window : 0;
  for (std::size_t tile = begin_key / tile_tokens; tile * tile_tokens < end_position; ++tile) {
    const std::size_t first_key = tile * tile_tokens;
    // Rows of tokens before first_key see nothing of this tile.
    const std::size_t skipped = first_key > first_position ? (first_key - first_position) * group : 0;
    tile_product<false, false>(packed + skipped * query_stride, query_stride, cache.keys(tile, task.head), tile_tokens,
                               scores + skipped * tile_tokens, tile_tokens, rows - skipped, shape.head_dim,
                               tile_tokens);
    for (std::size_t r = skipped; r < rows; ++r) {
      const std::size_t position = first_position + r / group;
      const std::size_t end = std::min(tile_tokens, position + 1 - first_key);
      std::size_t begin = 0;
      if (shape.window != 0 && position + 1 > shape.window + first_key) begin = position + 1 - shape.window - first_key;
      if (begin >= end) {  // the tile lies before the window
        std::fill_n(scores + r * tile_tokens, tile_tokens, 0.0f);
        continue;
      }
      softmax_step(scores + r * tile_tokens, begin, end, shape.softcap, sums + r * width, width, maxima + r,
                   totals + r);
    }
    const std::size_t keys = std::min(tile_tokens, end_position - first_key);
    tile_product<false, true>(scores + skipped * tile_tokens, tile_tokens, cache.values(tile, task.head), width,
                              sums + skipped * width, width, rows - skipped, keys, width);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    float* to = out.row(task.span->first_row + task.token + r / group).data() +
                (task.head * group + r % group) * shape.head_dim;
    const float factor = 1 / totals[r];
    std::size_t i = 0;
    for (; i + lanes <= shape.head_dim; i += lanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, sums + r * width + i), hn::Set(d, factor)), d, to + i);
    }
    for (; i < shape.head_dim; ++i) to[i] = sums[r * width + i] * factor;
  }
}

}  // namespace lcomp::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcomp {

HWY_EXPORT(run_task);

void attention(const AttentionShape& shape, std::span<const AttentionSpan> spans, ConstMatrixView queries,
               MatrixView<float> out, AttentionScratch& scratch) {
  assert(queries.cols() == shape.num_heads * shape.head_dim && out.cols() == queries.cols());
  const std::size_t group = shape.num_heads / shape.num_key_value_heads;
  const std::size_t block = tokens_per_task(group);
  std::vector<Task> tasks;
  std::size_t value_stride = 0;
  for (const AttentionSpan& span : spans) {
    assert(span.cache->length() == span.first_position + span.rows);
    value_stride = span.cache->value_stride();
    for (std::size_t token = 0; token < span.rows; token += block) {
      for (std::size_t head = 0; head < shape.num_key_value_heads; ++head) {
        tasks.push_back({&span, head, token, std::min(block, span.rows - token)});
      }
    }
  }
  // The longest first, so that no thread is left with one at the end.
  const auto keys = [](const Task& task) { return task.span->first_position + task.token; };
  std::stable_sort(tasks.begin(), tasks.end(), [&](const Task& a, const Task& b) { return keys(a) > keys(b); });

  std::size_t scores = 0;  // an estimate of the work
  for (const Task& task : tasks) scores += task.tokens * (keys(task) + 1);
  constexpr std::size_t worth_a_thread = 1 << 17;  // multiplications
  const bool small = scores * group * shape.head_dim < worth_a_thread;
  const std::size_t workers = small ? 1 : std::min(thread_count(), tasks.size());
  if (scratch.workers.size() < workers) scratch.workers.resize(workers);
  const std::size_t size = scratch_size(shape, value_stride);
  std::atomic<std::size_t> next = 0;
  parallel_for(0, workers, [&](std::size_t worker) {
    AlignedBuffer<float>& memory = scratch.workers[worker];
    if (memory.size() < size) memory = AlignedBuffer<float>(size);
    for (std::size_t i = next++; i < tasks.size(); i = next++) {
      HWY_DYNAMIC_DISPATCH(run_task)(shape, tasks[i], queries, out, memory.data());
    }
  });
}

}  // namespace lcomp
#endif
