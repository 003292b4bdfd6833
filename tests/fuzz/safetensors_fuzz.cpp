// SafetensorsFile on any bytes: opens them or throws Error in one line; what opens can be decoded to the last element.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/io/safetensors.h"
#include "memory_file.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  lcomp::set_thread_count(1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static lcomp::testing::MemoryFile memory;
  memory.assign(data, size);
  try {
    const lcomp::SafetensorsFile file(memory.path());
    std::size_t covered = 0;
    for (const lcomp::SafetensorsEntry& entry : file.entries()) {
      std::vector<float> values(entry.bytes.size() / lcomp::bytes_per_element(entry.type));
      lcomp::to_float(entry, 0, values);
      covered += entry.bytes.size();
      if (file.find(entry.name) != &entry) std::abort();
    }
    if (covered > size) std::abort();  // two tensors share bytes
  } catch (const lcomp::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
