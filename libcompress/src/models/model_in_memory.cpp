#include "lcomp/models/model_in_memory.h"

#include <algorithm>
#include <map>

#include "lcomp/io/config_reader.h"
#include "lcomp/models/tensor_check.h"
#include "models/assemble_model.h"
#include "models/families/families.h"

namespace lcomp {

std::vector<TensorInfo> required_tensors(const nlohmann::json& config_json, const std::string& where) {
  ConfigReader reader(config_json, where);
  const Family& family = find_family(reader.string("model_type"), reader.where("model_type"));
  const DecoderSlices slices = family.find_slices(family.read_config(reader));
  std::map<std::string, TensorInfo> tensors;
  for_each_slice(slices, [&](const TensorSlice& slice) {
    TensorInfo& info = tensors[slice.tensor];
    info.name = slice.tensor;
    info.stored_as = "F32";
    const std::size_t rows = std::max(slice.row_begin + slice.rows, info.shape.empty() ? 0 : info.shape.front());
    info.shape = slice.cols == 1 ? std::vector{rows} : std::vector{rows, slice.cols};
    info.stored_bytes = std::uint64_t{rows} * slice.cols * sizeof(float);
  });
  std::vector<TensorInfo> list;
  for (auto& [name, info] : tensors) list.push_back(std::move(info));
  return list;
}

std::vector<std::string> residual_projections(const DecoderSlices& slices) {
  std::vector<std::string> names;
  for (const BlockSlices& block : slices.blocks) {
    names.push_back(block.output.weight.tensor);
    if (!block.mlp.down.weight.tensor.empty()) names.push_back(block.mlp.down.weight.tensor);
    for (const MlpSlices& expert : block.experts) names.push_back(expert.down.weight.tensor);
  }
  return names;
}

ModelFolder assemble_model(const std::filesystem::path& path, nlohmann::json config_json,
                           const std::string& config_where, std::shared_ptr<const TensorSource> tensors) {
  ModelFolder model;
  model.path = path;
  ConfigReader reader(config_json, config_where);
  const Family& family = find_family(reader.string("model_type"), reader.where("model_type"));
  model.config = family.read_config(reader);
  model.slices = family.find_slices(model.config);
  model.tensors = std::move(tensors);
  check_tensors(*model.tensors, model.config, model.slices);
  model.config_json = std::move(config_json);
  return model;
}

ModelFolder model_in_memory(const std::filesystem::path& path, nlohmann::json config_json,
                            std::shared_ptr<const TensorSource> tensors) {
  return assemble_model(path, std::move(config_json), path.string(), std::move(tensors));
}

}  // namespace lcomp
