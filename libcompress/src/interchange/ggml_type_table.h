#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lcomp/interchange/gguf.h"

namespace lcomp {

// A row of the table of tensor types that we can decode.
struct GgmlTypeEntry {
  GgmlType type;
  std::string_view name;
  GgmlBlock block;
};

// The type with this number in a GGUF file; nothing when we can't decode it.
std::optional<GgmlType> ggml_type_from_number(std::uint32_t number);

// "F32, F16, ...": every type that we can decode.
std::string supported_ggml_types();

// The name of a number that ggml knows and we don't decode ("IQ2_XXS"), or the number.
std::string unsupported_ggml_type_name(std::uint32_t number);

}  // namespace lcomp
