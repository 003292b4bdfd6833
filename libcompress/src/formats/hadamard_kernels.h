#pragma once

#include <cstddef>

namespace lcomp {

// The loops of hadamard.cpp, vectorised by Highway for the instruction set found at run time; every instruction set
// computes the same float32 operations.

// In place, for one vector of `size` values, a power of two: W_size x.
void walsh_hadamard(float* values, std::size_t size);

// In place: (a[i], b[i]) <- (a[i] + b[i], a[i] - b[i]).
void butterfly(float* a, float* b, std::size_t size);

// out[i] = sum over k < terms, in this order, of signs[k] * in[k * stride + i], signs being 1 or -1; i < size.
void signed_sum(const float* in, std::size_t stride, const float* signs, std::size_t terms, std::size_t size,
                float* out);

// values[i] *= factor.
void scale_values(float* values, std::size_t size, float factor);

}  // namespace lcomp
