// A rate-coded weight of any bytes, whose checksum is right: decodes, or throws Error in one line.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/rate_coded.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  lcomp::set_thread_count(1);
  return 0;
}

// Six bytes of settings, four of the base step, then steps and classes, then one block.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t header = 10;
  if (size < header) return 0;
  lcomp::RateCodedWeight weight;
  weight.rows = std::size_t{1} + data[0] % 64;
  weight.cols = std::size_t{1} + data[1] % 128;
  weight.steps_per_octave = 1 + data[2] % 16;
  weight.trellis_memory = data[3] % 7;
  weight.row_gains = data[3] >= 128;
  weight.distribution = data[4] % 4;
  weight.chain_rows = 16;
  weight.block_rows = 64;
  weight.base_step.assign(data + 6, data + header);
  const std::size_t side = std::min<std::size_t>(2 * std::size_t{data[5]}, size - header);
  weight.side.assign(data + header, data + header + side);
  weight.codes.assign(data + header + side, data + size);
  weight.side_bytes = weight.side.size();
  weight.code_bytes = weight.codes.size();
  const std::uint32_t index[2] = {
      static_cast<std::uint32_t>(weight.codes.size()),
      static_cast<std::uint32_t>(lcomp::hash64(std::as_bytes(std::span<const std::uint8_t>(weight.codes))))};
  weight.blocks.resize(sizeof index);
  std::memcpy(weight.blocks.data(), index, sizeof index);
  try {
    check_layout(weight, "w");
    check_contents(view(weight), "w");
    if (decode_codes(view(weight)).codes.size() != weight.rows * weight.cols) std::abort();
    std::vector<float> out(weight.rows * weight.cols);
    decode_rows(view(weight), 0, weight.rows, out);
  } catch (const lcomp::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
