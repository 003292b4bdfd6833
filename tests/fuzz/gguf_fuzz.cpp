// The GGUF reader on any bytes, and what is made of a file that opens: every tensor decoded, the tokenizer's JSON, the
// Hugging Face view of the model. Each gives a value or throws Error in one line.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/interchange/gguf.h"
#include "lcomp/interchange/gguf_model.h"
#include "lcomp/interchange/gguf_tokenizer_json.h"
#include "memory_file.h"

namespace {

template <typename Action>
void expect_value_or_error(const Action& action) {
  try {
    action();
  } catch (const lcomp::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  lcomp::set_thread_count(1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static lcomp::testing::MemoryFile memory;
  memory.assign(data, size);
  expect_value_or_error([&] {
    const lcomp::GgufFile file(memory.path());
    std::size_t covered = 0;
    for (const lcomp::GgufTensor& tensor : file.gguf_tensors()) {
      const lcomp::GgmlBlock block = lcomp::block_of(tensor.type);
      std::vector<float> values(tensor.bytes.size() / block.bytes * block.values);
      lcomp::dequantize(tensor.type, tensor.bytes, values);
      covered += tensor.bytes.size();
      if (file.info(tensor.name).elements() != values.size()) std::abort();
    }
    if (covered > size) std::abort();  // two tensors share bytes
    expect_value_or_error([&] { (void)lcomp::gguf_tokenizer_json(file).dump(); });
    expect_value_or_error([&] { (void)lcomp::gguf_tokenizer_config_json(file).dump(); });
  });
  expect_value_or_error([&] {
    const lcomp::GgufModel model = lcomp::open_gguf_model(memory.path());
    (void)model.config_json.dump();
    for (const lcomp::TensorInfo& tensor : model.tensors->tensors()) {
      expect_value_or_error([&] { (void)model.tensors->read(tensor.name); });
    }
  });
  return 0;
}
