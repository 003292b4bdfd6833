#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "formats/block_coder.h"
#include "formats/side_information.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/compressed_weight.h"

namespace lcomp {

// What the codes of a block are written under; views `side`.
BlockModel block_model(const RateCodedLayout& layout, const SideInformation& side, std::size_t block);

std::size_t rows_of_block(const RateCodedLayout& layout, std::size_t block);
// What the index of blocks says of one: where it ends (0) and its checksum (1).
std::uint32_t index_entry(const RateCodedView& weight, std::size_t block, std::size_t which);
// The bytes of a block. Throws damaged_block() when their checksum is not right.
std::span<const std::uint8_t> bytes_of_block(const RateCodedView& weight, std::size_t block);
Error damaged_block(const RateCodedView& weight, std::size_t block);

float base_step(const RateCodedView& weight);
// Steps and classes: what keep_side() kept, or decoded. Throws Error naming `where` when they are damaged.
std::shared_ptr<const SideInformation> side_of(const RateCodedView& weight, const std::string& where);

// Throws Error naming `where` for another number of gains than rows (or none), and for one out of range.
void check_row_gains(std::span<const std::int16_t> gains, std::size_t rows, const std::string& where);

// The lower 32 bits of the XXH3-64 hash.
std::uint32_t block_checksum(std::span<const std::uint8_t> bytes);

}  // namespace lcomp
