#pragma once

namespace lcomp {

// A real number from GGUF metadata as people wrote it: most are stored as float32, where 1e-5
// reads 9.999999747378752e-06. Where `value` is a float32, the shortest decimal that rounds to that float32; otherwise
// `value`.
double shortest_decimal(double value);
// `value` rounded to `digits` significant decimal digits.
double shortest_decimal(double value, int digits);

}  // namespace lcomp
