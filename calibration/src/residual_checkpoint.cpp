#include "residual_checkpoint.h"

#include <fmt/format.h>

#include <system_error>

namespace lcomp {

std::filesystem::path ResidualCheckpoint::file(std::size_t layer) const {
  return folder_ / fmt::format("residual-{:05}.bin", layer);
}

std::optional<std::size_t> ResidualCheckpoint::load_last(std::size_t last, ResidualStream& stream) const {
  for (std::size_t layer = last + 1; layer-- > 0;) {
    if (stream.load(file(layer), key_)) return layer;
  }
  return std::nullopt;
}

void ResidualCheckpoint::remove(std::size_t layer) const {
  std::error_code ignored;  // a file too many is no reason to stop
  std::filesystem::remove(file(layer), ignored);
}

void ResidualCheckpoint::remove_all(std::size_t end) const {
  for (std::size_t layer = 0; layer < end; ++layer) remove(layer);
}

}  // namespace lcomp
