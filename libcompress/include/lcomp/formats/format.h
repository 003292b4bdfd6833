#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/core/matrix.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/weight_part.h"

namespace lcomp {

// Functions over all formats. Bytes are counted in one place: declared_parts() lists what a layout stores; payload
// bytes are the sum of that list, to_parts() writes it and from_parts() checks against it.

// Throws Error naming `where` when the layout is invalid or its sizes overflow.
std::vector<PartDeclaration> declared_parts(const WeightLayout& layout, const std::string& where);

// Payload bytes of a weight of this layout, codes, scales, zero points and padding included.
std::uint64_t payload_bytes(const WeightLayout& layout);
std::uint64_t payload_bytes(const CompressedWeightView& weight);
std::uint64_t payload_bytes(const CompressedWeight& weight);
double bits_per_weight(const WeightLayout& layout);  // 8 * payload_bytes / (rows * cols); 0 for an empty weight

WeightLayout layout(const CompressedWeightView& weight);
WeightLayout layout(const CompressedWeight& weight);
std::size_t rows(const WeightLayout& layout);
std::size_t cols(const WeightLayout& layout);

CompressedWeightView view(const CompressedWeight& weight);
CompressedWeight copy(const CompressedWeightView& weight);  // owns its bytes

// Decodes rows [row_begin, row_begin + row_count) into out, row_count * cols values. Throws Error for rows out of range
// or another size of out. One thread; thread-safe.
void decode_rows(const CompressedWeightView& weight, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out);
// Number of rows that are decoded together: chunks of rows should begin at multiples of it and have this length. 1 for
// most formats.
std::size_t rows_together(const WeightLayout& layout);
// The whole weight, on all threads.
Matrix decode(const CompressedWeightView& weight);
Matrix decode(const CompressedWeight& weight);

// Readable text: "grouped integer, 4 bits, asymmetric, group 64, f16 scales", "f16".
std::string describe(const WeightLayout& layout);

// The parts of a weight, in the order of declared_parts().
std::vector<WeightPart> to_parts(const CompressedWeightView& weight);
// The weight over `parts` (in any order). Throws Error naming `where` + suffix for a part that is missing, unknown,
// given twice, or of another type, shape or size than the layout declares, and for invalid contents (check_contents of
// the format).
CompressedWeightView from_parts(const WeightLayout& layout, std::span<const WeightPart> parts,
                                const std::string& where);

// The layout as the container's JSON, and back (strict: unknown keys and values are errors). Rows and columns are not
// part of it.
//   {"format": "grouped_integer", "bits": 4, "symmetric": false, "group_size": 64, "scales": "f16"}
//       with "per_tensor": true, "zeros": "f16", "permuted": true where they apply
//   {"format": "logarithmic", "bits": 4, "zero_level": false, "group_size": 64, "scales": "f16"}
//   {"format": "codebook", "bits": 3, "group_size": 576}
//       "scales" where the codebook is shared, "permuted": true in both
//   {"format": "banded_integer", "symmetric": false, "coded_bands": 15, "bit_sum": 52, "last_bits": 0}
//   {"format": "rate_coded", "steps_per_octave": 4, "trellis_memory": 3, "distribution": 1, "chain_rows": 128,
//    "block_rows": 256, "code_bytes": 131072, "side_bytes": 900}
//   {"format": "dense", "type": "f16"}
//   {"format": "transformed", "base": {one of the above}, "input_scaled": true, "input_block": 64, "output_block": 64}
//       without the keys of absent steps
nlohmann::json layout_to_json(const WeightLayout& layout);
WeightLayout layout_from_json(const nlohmann::json& json, std::size_t rows, std::size_t cols, const std::string& where);

}  // namespace lcomp
