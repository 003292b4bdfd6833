#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lcomp/interchange/gguf.h"

namespace lcomp {

// Everything before the tensor data of a GGUF file. Integers are little-endian, strings are an 8-byte length and bytes:
//   "GGUF"  u32 version  u64 tensor count  u64 metadata count
//   metadata count x { string key, u32 value type, value }          an array value: u32 item type, u64 count, items
//   tensor count   x { string name, u32 dimension count, u64 dimensions (innermost first), u32 type, u64 offset }
//   padding to general.alignment (32 where absent); offsets count from here and are multiples of it
struct GgufContents {
  std::vector<std::pair<std::string, GgufValue>> metadata;
  std::vector<GgufTensor> tensors;
};

// Checks and reads all of it; tensor bytes point into `file`. Each defect is an Error that names `where` and the
// defect: a length or count beyond the end of the file (found before anything is allocated for it), arrays nested
// deeper than 8, more than 2^24 array items, an unknown version, value type or tensor type, a duplicate key or tensor
// name, sizes that overflow, tensor data that is unaligned, overlapping or outside the file. Memory: at most about 40
// times the size of the metadata.
GgufContents parse_gguf(std::span<const std::byte> file, const std::string& where);

}  // namespace lcomp
