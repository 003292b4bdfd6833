#pragma once

#include "lcomp/core/parallel.h"

namespace lcomp {

// While it lives, BLAS and LAPACK calls of this thread use this thread alone, so that their sums don't depend on the
// number of threads. Inside a parallel loop they do so anyway; this is for the loops that turn out to have one step.
class SingleThreadedBlas {
 public:
  SingleThreadedBlas() : before_(thread_count()) { set_thread_count(1); }
  ~SingleThreadedBlas() { set_thread_count(before_); }
  SingleThreadedBlas(const SingleThreadedBlas&) = delete;
  SingleThreadedBlas& operator=(const SingleThreadedBlas&) = delete;

 private:
  std::size_t before_;  // OpenMP keeps the number for each thread by itself
};

}  // namespace lcomp
