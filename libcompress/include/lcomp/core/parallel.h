#pragma once

#include <cstddef>
#include <functional>

namespace lcomp {

// Number of threads that parallel loops and BLAS use: OMP_NUM_THREADS or the cores of the machine, until
// set_thread_count.
std::size_t thread_count();
void set_thread_count(std::size_t count);  // count >= 1

// Calls body(i) for i in [begin, end) on all threads, in no order, `grain` consecutive indices at a time (dynamic
// schedule). The first exception that a body throws is rethrown here after the running bodies ended; the others are not
// started. Inside a parallel loop it runs serially.
void parallel_for(std::size_t begin, std::size_t end, const std::function<void(std::size_t)>& body,
                  std::size_t grain = 1);

// Splits [begin, end) into chunks of `grain` indices (the last may be shorter) and calls body(first, last) for each.
// The chunks do not depend on the number of threads, so sums formed per chunk are the same for any thread count.
void parallel_chunks(std::size_t begin, std::size_t end, std::size_t grain,
                     const std::function<void(std::size_t, std::size_t)>& body);

}  // namespace lcomp
