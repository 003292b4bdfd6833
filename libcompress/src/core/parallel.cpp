#include "lcomp/core/parallel.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <exception>
#include <mutex>

namespace lcomp {

std::size_t thread_count() { return static_cast<std::size_t>(std::max(1, omp_get_max_threads())); }

void set_thread_count(std::size_t count) {
  assert(count >= 1);
  omp_set_num_threads(static_cast<int>(count));
}

void parallel_chunks(std::size_t begin, std::size_t end, std::size_t grain,
                     const std::function<void(std::size_t, std::size_t)>& body) {
  if (begin >= end) return;
  assert(grain > 0);
  const std::size_t chunks = (end - begin + grain - 1) / grain;
  if (chunks == 1 || omp_in_parallel() != 0 || omp_get_max_threads() == 1) {
    for (std::size_t i = begin; i < end; i += std::min(grain, end - i)) body(i, i + std::min(grain, end - i));
    return;
  }
  std::exception_ptr first;
  std::mutex mutex;
  std::atomic<bool> failed = false;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t c = 0; c < chunks; ++c) {
    if (failed.load(std::memory_order_relaxed)) continue;
    const std::size_t i = begin + c * grain;
    try {
      body(i, i + std::min(grain, end - i));
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
      failed = true;
    }
  }
  if (first) std::rethrow_exception(first);
}

void parallel_for(std::size_t begin, std::size_t end, const std::function<void(std::size_t)>& body, std::size_t grain) {
  parallel_chunks(begin, end, grain, [&body](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) body(i);
  });
}

}  // namespace lcomp
