#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/weight_part.h"

namespace lcomp {

// Plain values: rows * cols floats of 32 or 16 bits (IEEE binary32, binary16, bfloat16), little-endian, row-major.

std::size_t bytes_per_value(DenseType type);
std::string_view name(DenseType type);  // "f32", "f16", "bf16"

DenseView view(const DenseWeight& weight);
DenseView empty_view(const DenseLayout& layout);
DenseWeight empty_weight(const DenseLayout& layout);
// The bytes of the part with this suffix, which must be one of declared_parts().
std::span<const std::uint8_t>& part_data(DenseView& weight, std::string_view suffix);
std::vector<std::uint8_t>& part_data(DenseWeight& weight, std::string_view suffix);

// Any values will do: nothing is checked.
inline void check_contents(const DenseView& /*weight*/, const std::string& /*where*/) {}

// The one part, [rows, cols], with an empty suffix.
std::vector<PartDeclaration> declared_parts(const DenseLayout& layout, const std::string& where);

// Rounds `weight` to `type` (nearest, ties to even). Throws Error naming `component`, row and column for NaN, infinity,
// and values too large for the type.
DenseWeight encode_dense(ConstMatrixView weight, DenseType type, const std::string& component);

// The value of `type` nearest to `value`, ties to even; infinity beyond its largest.
float rounded_to(DenseType type, float value);

// The smallest type that holds every value exactly: f16, else bf16, else f32.
DenseType exact_dense_type(ConstMatrixView weight);

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values. The sizes are asserted.
void decode_rows(const DenseView& weight, std::size_t row_begin, std::size_t row_count, std::span<float> out);

}  // namespace lcomp
