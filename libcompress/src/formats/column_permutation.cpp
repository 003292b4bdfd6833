#include "lcomp/formats/column_permutation.h"

#include <cassert>

#include <fmt/format.h>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

std::size_t entry_bytes(std::size_t cols) { return cols > 65536 ? 4 : 2; }

}  // namespace

PartDeclaration declare_permutation(std::size_t cols, const std::string& where) {
  return declare_part(".permutation", entry_bytes(cols) == 4 ? DataType::u32 : DataType::u16, {cols}, where);
}

void write_permutation(std::span<const std::uint32_t> permutation, std::span<std::uint8_t> bytes) {
  const std::size_t width = entry_bytes(permutation.size());
  assert(bytes.size() == width * permutation.size());
  for (std::size_t j = 0; j < permutation.size(); ++j) {
    assert(permutation[j] < permutation.size());
    for (std::size_t byte = 0; byte < width; ++byte) {
      bytes[width * j + byte] = static_cast<std::uint8_t>(permutation[j] >> (8 * byte));
    }
  }
}

std::uint32_t stored_column(std::span<const std::uint8_t> bytes, std::size_t cols, std::size_t j) {
  const std::size_t width = entry_bytes(cols);
  std::uint32_t column = 0;
  for (std::size_t byte = 0; byte < width; ++byte) {
    column |= static_cast<std::uint32_t>(bytes[width * j + byte]) << (8 * byte);
  }
  return column;
}

std::vector<std::uint32_t> read_permutation(std::span<const std::uint8_t> bytes, std::size_t cols,
                                            const std::string& where) {
  std::vector<std::uint32_t> permutation(cols);
  std::vector<bool> seen(cols, false);
  for (std::size_t j = 0; j < cols; ++j) {
    permutation[j] = stored_column(bytes, cols, j);
    if (permutation[j] >= cols || seen[permutation[j]]) {
      throw Error({where + ".permutation", fmt::format("{} at place {}", permutation[j], j),
                   fmt::format("each of 0 .. {} once", cols - 1), "the file is damaged"});
    }
    seen[permutation[j]] = true;
  }
  return permutation;
}

}  // namespace lcomp
