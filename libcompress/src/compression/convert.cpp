#include "lcomp/compression/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "compression/regauge.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/interchange/gguf_model.h"
#include "lcomp/interchange/gguf_tokenizer_json.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/models/tensor_check.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kValuesAtOnce = std::size_t{1} << 20;

DataType data_type(DenseType type) {
  switch (type) {
    case DenseType::f32:
      return DataType::f32;
    case DenseType::f16:
      return DataType::f16;
    case DenseType::bf16:
      return DataType::bf16;
  }
  return DataType::f32;
}

const char* torch_dtype(DenseType type) {
  switch (type) {
    case DenseType::f32:
      return "float32";
    case DenseType::f16:
      return "float16";
    case DenseType::bf16:
      return "bfloat16";
  }
  return "";
}

// The float32 that `value` becomes on its way to `type`. For the 16-bit types it is rounded to odd: toward zero, the
// last bit set when anything was lost. Rounding that to 16 bits gives the same as rounding the double at once; rounding
// to nearest twice does not.
float first_rounding(double value, DenseType type) {
  const auto nearest = static_cast<float>(value);
  if (type == DenseType::f32 || static_cast<double>(nearest) == value || !std::isfinite(nearest)) return nearest;
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  const bool away_from_zero = std::fabs(static_cast<double>(nearest)) > std::fabs(value);
  if (away_from_zero) --bits;
  return std::bit_cast<float>(bits | 1u);
}

// Writes one tensor, changed, piece by piece; a piece never leaves a change or cuts a head that is turned.
void write_tensor(const TensorSource& source, const TensorInfo& tensor, const std::vector<TensorChange>& changes,
                  DenseType type, SafetensorsWriter& writer) {
  const std::size_t cols = tensor.cols();
  std::size_t row = 0;
  auto change = changes.begin();
  while (row < tensor.rows()) {
    while (change != changes.end() && row >= change->row_begin + change->rows) ++change;
    const bool changed = change != changes.end() && row >= change->row_begin;
    const std::size_t segment_end = changed                   ? change->row_begin + change->rows
                                    : change != changes.end() ? change->row_begin
                                                              : tensor.rows();
    const std::size_t unit = changed && change->head_dim != 0 ? change->head_dim : 1;
    const std::size_t units = std::max<std::size_t>(1, kValuesAtOnce / (unit * cols));
    const std::size_t count = std::min(units * unit, segment_end - row);
    Matrix values(count, cols);
    source.read_rows(tensor.name, row, count, values.span());
    if (changed) {
      parallel_for(0, count / unit, [&](std::size_t u) {
        const auto part = values.span().subspan(u * unit * cols, unit * cols);
        std::vector<double> exact(part.begin(), part.end());
        apply_change(*change, row + u * unit, cols, exact);
        std::transform(exact.begin(), exact.end(), part.begin(),
                       [&](double value) { return first_rounding(value, type); });
      });
    }
    writer.write_float(tensor.name, values.span());
    row += count;
  }
}

std::vector<SafetensorsDeclaration> declare(const ModelFolder& model, DataType type) {
  std::set<std::string> names;
  for_each_slice(model.slices, [&](const TensorSlice& slice) { names.insert(slice.tensor); });
  std::vector<SafetensorsDeclaration> tensors;
  for (const std::string& name : names) tensors.push_back({name, type, model.tensors->info(name).shape});
  return tensors;
}

json converted_config(const ModelFolder& model, DenseType type) {
  json config = model.config_json;
  if (config.contains("dtype")) config["dtype"] = torch_dtype(type);
  if (config.contains("torch_dtype") || !config.contains("dtype")) config["torch_dtype"] = torch_dtype(type);
  return config;
}

// The files of a model besides config.json and weights, by name: text to write.
std::map<std::string, std::string> companion_files(const fs::path& source) {
  std::map<std::string, std::string> files;
  if (fs::is_directory(source)) {
    for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
                             "added_tokens.json", "chat_template.jinja", "generation_config.json"}) {
      if (fs::exists(source / name)) files[name] = read_text_file(source / name);
    }
    return files;
  }
  const GgufFile file(source);
  if (file.find_metadata("tokenizer.ggml.model") != nullptr) {
    files["tokenizer.json"] = gguf_tokenizer_json(file).dump() + "\n";
    files["tokenizer_config.json"] = gguf_tokenizer_config_json(file).dump(1) + "\n";
  }
  return files;
}

// What a config.json says of the tokens that begin and end a text, as generation_config.json.
std::string generation_config(const json& config) {
  json generation = json::object();
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (config.contains(key)) generation[key] = config[key];
  }
  return generation.dump(1) + "\n";
}

}  // namespace

void convert_model(const fs::path& source, const fs::path& out, const ConvertOptions& options,
                   ProgressCallback progress) {
  const ModelFolder model = open_model(source);
  const TensorChanges changes = plan_changes(model, options.fold_norms, options.regauge_seed);
  std::map<std::string, std::string> files = companion_files(source);
  const json config = converted_config(model, options.dtype);
  if (!fs::is_directory(source)) files["generation_config.json"] = generation_config(config);

  AtomicFolder folder(out, options.replace);
  std::vector<SafetensorsDeclaration> tensors = declare(model, data_type(options.dtype));
  Progress steps(std::move(progress), "converting", tensors.size());
  SafetensorsWriter writer(folder.path() / "model.safetensors", tensors, {{"format", "pt"}});
  for (const SafetensorsDeclaration& tensor : tensors) {
    const auto found = changes.find(tensor.name);
    write_tensor(*model.tensors, model.tensors->info(tensor.name),
                 found == changes.end() ? std::vector<TensorChange>() : found->second, options.dtype, writer);
    steps.advance();
  }
  writer.finish();
  for (const auto& [name, text] : files) write_text_file(folder.path() / name, text);
  write_text_file(folder.path() / "config.json", config.dump(1) + "\n");
  folder.commit();
}

}  // namespace lcomp
