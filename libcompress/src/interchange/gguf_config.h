#pragma once

#include <nlohmann/json.hpp>

#include "interchange/gguf_architectures.h"

namespace lcomp {

// A GGUF file's metadata as Hugging Face's config.json. Throws Error for what is missing, contradicts itself, or can't
// be expressed there.
nlohmann::json gguf_config(const GgufFile& file, const GgufArchitecture& architecture);

}  // namespace lcomp
