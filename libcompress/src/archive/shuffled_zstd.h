#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lcomp {

// Numbers compressed by zstd: the bytes are cut into pieces of kZstdPieceBytes, in each piece the first bytes of all
// elements come first, then the second ones... (HDF5's "shuffle"), and each becomes one zstd frame. Pieces are done in
// parallel; the result does not depend on the number of threads.
inline constexpr std::size_t kZstdPieceBytes = std::size_t{1} << 22;

struct ZstdFrames {
  std::vector<std::byte> bytes;  // the frames, end to end
  std::vector<std::uint64_t> frame_sizes;
};

// `element_bytes` divides values.size(). Throws Error when zstd fails.
ZstdFrames compress_shuffled(std::span<const std::byte> values, std::size_t element_bytes);

// The opposite, into `values` of exactly the original size. Throws Error naming `where` when the frames are damaged or
// of another size.
void decompress_shuffled(std::span<const std::byte> frames, std::span<const std::uint64_t> frame_sizes,
                         std::size_t element_bytes, std::span<std::byte> values, const std::string& where);

}  // namespace lcomp
