#pragma once

#include <cstdint>
#include <vector>

#include "lcomp/formats/rate_coded.h"

namespace lcomp {

// What the codes of a weight are written under: shape, and the class of (i, j), rows[i] + cols[j]
// (code_distribution.h).
struct CodeClasses {
  int shape = 0;
  std::vector<std::int16_t> rows, cols;
};

// Fits them to codes, so that the codes are short: a first guess from mean magnitudes of levels, then rows and columns
// in turn, each moving to the best class near its present one. A chain of states begins at every chain_rows-th row of a
// block of block_rows. On all threads; the same result for any number of them. A few passes over the codes.
CodeClasses fit_code_classes(const RateCodedCodes& codes, std::size_t block_rows);

}  // namespace lcomp
