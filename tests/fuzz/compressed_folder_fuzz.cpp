// CompressedFolder on any model.safetensors: opens it or throws Error in one line; what opens can be decoded to the
// last value.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/io/atomic_file.h"
#include "memory_file.h"

namespace {

// A folder whose model.safetensors is the file in memory.
struct Folder {
  Folder() : path(std::filesystem::temp_directory_path() / ("lcomp-fuzz-" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(path);
    lcomp::write_text_file(path / "config.json",
                           R"({"quantization_config": {"quant_method": "libcompress", "format_version": 1}})");
    std::filesystem::create_symlink(memory.path(), path / "model.safetensors");
  }
  ~Folder() { std::filesystem::remove_all(path); }

  lcomp::testing::MemoryFile memory;
  std::filesystem::path path;
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  lcomp::set_thread_count(1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Folder folder;
  folder.memory.assign(data, size);
  try {
    const lcomp::CompressedFolder model(folder.path);
    if (model.payload_bytes() > size) std::abort();
    for (const lcomp::TensorInfo& tensor : model.tensors()) {
      if (tensor.elements() > 0) model.read(tensor.name);
    }
  } catch (const lcomp::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
