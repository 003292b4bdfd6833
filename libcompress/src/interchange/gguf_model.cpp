#include "lcomp/interchange/gguf_model.h"

#include "interchange/gguf_architectures.h"
#include "interchange/gguf_config.h"
#include "interchange/gguf_tensor_names.h"
#include "interchange/gguf_tensor_source.h"

namespace lcomp {

GgufModel open_gguf_model(const std::filesystem::path& path) {
  GgufModel model;
  model.file = std::make_shared<const GgufFile>(path);
  const GgufArchitecture& architecture = gguf_architecture(*model.file);
  model.config_json = gguf_config(*model.file, architecture);
  model.tensors = std::make_shared<const GgufTensorSource>(
      model.file, gguf_tensor_origins(*model.file, architecture, model.config_json));
  return model;
}

}  // namespace lcomp
