#include "archive/shuffled_zstd.h"

#include <zstd.h>

#include <algorithm>
#include <cassert>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

constexpr int kLevel = 3;

std::vector<std::byte> shuffle(std::span<const std::byte> values, std::size_t element_bytes) {
  std::vector<std::byte> planes(values.size());
  const std::size_t count = values.size() / element_bytes;
  for (std::size_t b = 0; b < element_bytes; ++b) {
    for (std::size_t i = 0; i < count; ++i) planes[b * count + i] = values[i * element_bytes + b];
  }
  return planes;
}

void unshuffle(std::span<const std::byte> planes, std::size_t element_bytes, std::span<std::byte> values) {
  const std::size_t count = values.size() / element_bytes;
  for (std::size_t b = 0; b < element_bytes; ++b) {
    for (std::size_t i = 0; i < count; ++i) values[i * element_bytes + b] = planes[b * count + i];
  }
}

}  // namespace

ZstdFrames compress_shuffled(std::span<const std::byte> values, std::size_t element_bytes) {
  assert(values.size() % element_bytes == 0 && kZstdPieceBytes % element_bytes == 0);
  std::vector<std::vector<std::byte>> frames(divide_up(values.size(), kZstdPieceBytes));
  parallel_for(0, frames.size(), [&](std::size_t i) {
    const std::size_t begin = i * kZstdPieceBytes;
    const auto planes = shuffle(values.subspan(begin, std::min(kZstdPieceBytes, values.size() - begin)), element_bytes);
    std::vector<std::byte> frame(ZSTD_compressBound(planes.size()));
    const std::size_t size = ZSTD_compress(frame.data(), frame.size(), planes.data(), planes.size(), kLevel);
    if (ZSTD_isError(size) != 0) throw Error(ErrorKind::system, {"zstd", ZSTD_getErrorName(size), "", ""});
    frame.resize(size);
    frame.shrink_to_fit();
    frames[i] = std::move(frame);
  });
  ZstdFrames result;
  std::size_t total = 0;
  for (const auto& frame : frames) total += frame.size();
  result.bytes.reserve(total);
  for (auto& frame : frames) {
    result.frame_sizes.push_back(frame.size());
    result.bytes.insert(result.bytes.end(), frame.begin(), frame.end());
    frame = {};
  }
  return result;
}

void decompress_shuffled(std::span<const std::byte> frames, std::span<const std::uint64_t> frame_sizes,
                         std::size_t element_bytes, std::span<std::byte> values, const std::string& where) {
  const auto damaged = [&] { return Error({where, "damaged zstd frames", "", ""}); };
  if (frame_sizes.size() != divide_up(values.size(), kZstdPieceBytes)) throw damaged();
  std::vector<std::size_t> begins;
  std::size_t at = 0;
  for (const std::uint64_t size : frame_sizes) {
    begins.push_back(at);
    if (size > frames.size() - at) throw damaged();
    at += static_cast<std::size_t>(size);
  }
  if (at != frames.size()) throw damaged();
  parallel_for(0, frame_sizes.size(), [&](std::size_t i) {
    const std::size_t begin = i * kZstdPieceBytes;
    const auto piece = values.subspan(begin, std::min(kZstdPieceBytes, values.size() - begin));
    std::vector<std::byte> planes(piece.size());
    const std::size_t size = ZSTD_decompress(planes.data(), planes.size(), frames.data() + begins[i],
                                             static_cast<std::size_t>(frame_sizes[i]));
    if (ZSTD_isError(size) != 0 || size != planes.size()) throw damaged();
    unshuffle(planes, element_bytes, piece);
  });
}

}  // namespace lcomp
