#pragma once

#include <span>

#include "lcomp/core/matrix.h"

namespace lcomp {

// sums[j] += sum_i input(i, j), row by row in double; maxima[j] = max(maxima[j], |input(i, j)|). A value that is NaN or
// infinite leaves a sum that is not finite. Columns are shared among the threads. Vectorised (Highway, chosen at run
// time), with the same result on every machine. input: [rows, n], sums and maxima: [n].
void add_channel_ranges(ConstMatrixView input, std::span<double> sums, std::span<float> maxima);

}  // namespace lcomp
