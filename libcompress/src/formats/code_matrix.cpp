#include "formats/code_matrix.h"

#include <fmt/format.h>

#include "formats/bit_packing.h"
#include "lcomp/core/error.h"

namespace lcomp {

void check_code_matrix(std::size_t rows, std::size_t cols, int bits, std::size_t group_size, const std::string& where) {
  if (bits < 1 || bits > 8) throw Error({where, fmt::format("{} bits", bits), "1 to 8", ""});
  if (rows == 0 || cols == 0) {
    throw Error({where, fmt::format("a weight of {} x {}", rows, cols), "at least one row and column", ""});
  }
  if (group_size == 0 || group_size > cols) {
    throw Error({where, fmt::format("groups of {} columns", group_size), fmt::format("1 to {}", cols), ""});
  }
}

std::size_t code_row_bytes(std::size_t cols, int bits) { return packed_bytes(cols, bits); }

PartDeclaration declare_codes(std::size_t rows, std::size_t cols, int bits, const std::string& where) {
  return declare_part(".codes", DataType::u8, {rows, code_row_bytes(cols, bits)}, where);
}

void pack_code_row(std::span<const std::uint8_t> codes, int bits, std::size_t row, std::span<std::uint8_t> bytes) {
  const std::size_t row_bytes = code_row_bytes(codes.size(), bits);
  pack_bits(codes, bits, bytes.subspan(row * row_bytes, row_bytes));
}

void unpack_code_row(std::span<const std::uint8_t> bytes, int bits, std::size_t row, std::span<std::uint8_t> codes) {
  const std::size_t row_bytes = code_row_bytes(codes.size(), bits);
  unpack_bits(bytes.subspan(row * row_bytes, row_bytes), bits, 0, codes);
}

}  // namespace lcomp
