#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "block_coder.h"
#include "lcomp/formats/compressed_weight.h"
#include "side_information.h"

namespace lcomp {

// What the codes of a block are written under; views `side`.
BlockModel block_model(const RateCodedLayout& layout, const SideInformation& side, std::size_t block);

// Throws Error naming `where` for another number of gains than rows (or none), and for one out of range.
void check_row_gains(std::span<const std::int16_t> gains, std::size_t rows, const std::string& where);

// The lower 32 bits of the XXH3-64 hash.
std::uint32_t block_checksum(std::span<const std::uint8_t> bytes);

}  // namespace lcomp
