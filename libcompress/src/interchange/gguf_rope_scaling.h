#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lcomp/interchange/gguf.h"

namespace lcomp {

// The rope scaling of a GGUF file as Hugging Face's "rope_scaling" object; null where there is none.
//
// Linear scaling is metadata. Llama 3's is stored as rope_freqs.weight, the divisor of each rotary frequency
//   d_i = 1 where the wavelength w_i = 2 pi theta^(2i/dim) < original / high,  factor where w_i > original / low,
//   and between them 1 / d_i = (1 - s) / factor + s,  s = (original / w_i - low) / (high - low).
// The published values low = 1, high = 4, original = 8192 (or the file's rope.scaling.original_context_length) are
// tried, then values of high and original that give the stored divisors (low = 1: scaling all three by one number
// changes nothing). Longrope's factors are rope_factors_short.weight and rope_factors_long.weight,
// rope.scaling.attn_factor its factor of cos and sin (1 where absent). Throws Error when no values give the divisors to
// 1e-4, and for other scaling types.
nlohmann::json gguf_rope_scaling(const GgufFile& file, const std::string& prefix, double theta, std::size_t rotary_dim);

}  // namespace lcomp
