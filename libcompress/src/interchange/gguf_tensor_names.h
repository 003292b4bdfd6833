#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "interchange/gguf_architectures.h"
#include "interchange/gguf_tensor_source.h"

namespace lcomp {

// Where each Hugging Face tensor of a model is in the file; `config` has the sizes. Throws Error naming all tensors
// that the architecture does not have, and for fused or stacked ones of another shape than the sizes say. What is part
// of the config (rope_freqs, rope_factors_long, rope_factors_short) is left out.
std::map<std::string, GgufOrigin> gguf_tensor_origins(const GgufFile& file, const GgufArchitecture& architecture,
                                                      const nlohmann::json& config);

}  // namespace lcomp
