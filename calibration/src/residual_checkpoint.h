#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "lcomp/forward/residual_stream.h"

namespace lcomp {

// The residual stream before a layer, on disk, so that work can go on there: FOLDER/residual-NNNNN.bin.
class ResidualCheckpoint {
 public:
  ResidualCheckpoint(std::filesystem::path folder, std::string key)
      : folder_(std::move(folder)), key_(std::move(key)) {}

  void save(std::size_t layer, const ResidualStream& stream) const { stream.save(file(layer), key_); }
  // The largest layer, at most `last`, whose stream is there and sound; it is in `stream` then.
  std::optional<std::size_t> load_last(std::size_t last, ResidualStream& stream) const;
  void remove(std::size_t layer) const;
  void remove_all(std::size_t end) const;  // layers 0 .. end - 1

 private:
  std::filesystem::path file(std::size_t layer) const;

  std::filesystem::path folder_;
  std::string key_;
};

}  // namespace lcomp
