#include <fmt/format.h>

#include <memory>
#include <utility>

#include "commands/command_context.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/lcomp.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "report/result_table.h"

namespace lcomp {
namespace {

struct QuantizeCommand {
  std::string weight;
  std::string hessian;
  std::vector<std::string> methods;
  std::string out;
};

struct NamedMatrix {
  std::string name;
  Matrix values;
};

// "PLACE:TENSOR", where PLACE is a .safetensors file, a model folder or a GGUF file.
NamedMatrix read_matrix(const std::string& place, const std::string& option) {
  const std::size_t colon = place.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == place.size()) {
    throw Error({option + " " + place, "no FILE:TENSOR", "for example model.safetensors:lm_head.weight", ""});
  }
  const std::filesystem::path file = place.substr(0, colon);
  const std::string tensor = place.substr(colon + 1);
  const bool single_file = file.extension() == ".safetensors";
  const std::shared_ptr<const TensorSource> source = single_file ? open_safetensors(file) : open_model(file).tensors;
  const TensorInfo& info = source->info(tensor);
  if (info.shape.size() != 2 || info.elements() == 0) {
    throw Error({place, fmt::format("a tensor of {} dimensions and {} elements", info.shape.size(), info.elements()),
                 "a matrix", ""});
  }
  return {tensor, source->read(tensor)};
}

QuantizedTensor quantize_by(const std::string& method, const NamedMatrix& weight, const Matrix* hessian) {
  LayerStats stats;
  if (hessian != nullptr) {
    stats.hessian = hessian->view();
    stats.tokens = 1;
  }
  return quantize(weight.values.view(), stats, *make_quantizer(nlohmann::json(method), "--method"), weight.name);
}

// A tensor of the output file.
struct Output {
  SafetensorsDeclaration declaration;
  std::vector<std::byte> bytes;
};

template <typename Value>
Output output(std::string name, DataType type, std::vector<std::size_t> shape, std::span<const Value> values) {
  const auto bytes = std::as_bytes(values);
  return {{std::move(name), type, std::move(shape)}, {bytes.begin(), bytes.end()}};
}

void add_outputs(const QuantizedTensor& result, const std::string& name, std::vector<Output>& outputs) {
  const Matrix& decoded = result.decoded;
  outputs.push_back(output<float>(name, DataType::f32, {decoded.rows(), decoded.cols()}, decoded.span()));
  for (const WeightPart& part : to_parts(view(result.compressed))) {
    if (part.suffix.empty()) continue;  // plain values: the tensor itself
    outputs.push_back(output<std::uint8_t>(name + part.suffix, part.type, part.shape, part.data));
  }
  const auto* grouped = std::get_if<GroupedIntegerWeight>(&result.compressed);
  if (grouped == nullptr) return;
  std::vector<std::uint8_t> codes(grouped->rows * grouped->cols);
  for (std::size_t i = 0; i < grouped->rows; ++i) {
    unpack_row(view(*grouped), i, std::span(codes).subspan(i * grouped->cols, grouped->cols));
  }
  const std::vector<float> scales = decode_scales(view(*grouped));
  const std::vector<float> zeros = decode_zero_points(view(*grouped));
  const std::vector<std::size_t> groups = {grouped->per_tensor ? 1 : grouped->rows, groups_per_row(*grouped)};
  outputs.push_back(
      output<std::uint8_t>(name + ".unpacked_codes", DataType::u8, {grouped->rows, grouped->cols}, codes));
  outputs.push_back(output<float>(name + ".decoded_scales", DataType::f32, groups, scales));
  outputs.push_back(output<float>(name + ".decoded_zeros", DataType::f32, groups, zeros));
}

void write(const std::string& path, const std::string& name, const std::vector<QuantizedTensor>& results) {
  std::vector<Output> outputs;
  for (const QuantizedTensor& result : results) {
    add_outputs(result, results.size() == 1 ? name : result.method + "/" + name, outputs);
  }
  std::vector<SafetensorsDeclaration> declarations;
  for (const Output& tensor : outputs) declarations.push_back(tensor.declaration);
  SafetensorsWriter writer(path, declarations);
  for (const Output& tensor : outputs) writer.write(tensor.declaration.name, tensor.bytes);
  writer.finish();
}

void run(const QuantizeCommand& command, const CommandContext& context) {
  const NamedMatrix weight = read_matrix(command.weight, "weight");
  Matrix hessian;
  if (!command.hessian.empty()) {
    hessian = read_matrix(command.hessian, "--hessian").values;
    if (hessian.rows() != weight.values.cols() || hessian.cols() != weight.values.cols()) {
      throw Error({"--hessian " + command.hessian, fmt::format("{} x {}", hessian.rows(), hessian.cols()),
                   fmt::format("{0} x {0}, the weight's columns", weight.values.cols()), ""});
    }
  }
  std::vector<QuantizedTensor> results;
  for (const std::string& method : command.methods) {
    results.push_back(quantize_by(method, weight, hessian.empty() ? nullptr : &hessian));
  }
  if (!command.out.empty()) write(command.out, weight.name, results);

  ResultTable table;
  table.columns = {"method", "bits per weight", "bytes", "squared error", "relative error", "proxy error", "seconds"};
  table.numeric = {false, true, true, true, true, true, true};
  nlohmann::json rows = nlohmann::json::array();
  std::string warnings;
  for (const QuantizedTensor& result : results) {
    table.rows.push_back({result.method, fmt::format("{:.4f}", result.bits_per_weight), std::to_string(result.bytes),
                          fmt::format("{:.6g}", result.squared_error), fmt::format("{:.6f}", result.relative_error),
                          result.proxy_error ? fmt::format("{:.6g}", *result.proxy_error) : "-",
                          fmt::format("{:.2f}", result.seconds)});
    rows.push_back({{"method", result.method},
                    {"format", describe(layout(result.compressed))},
                    {"bits_per_weight", result.bits_per_weight},
                    {"bytes", result.bytes},
                    {"squared_error", result.squared_error},
                    {"relative_error", result.relative_error},
                    {"proxy_error", result.proxy_error ? nlohmann::json(*result.proxy_error) : nlohmann::json()},
                    {"seconds", result.seconds},
                    {"warnings", result.warnings}});
    for (const std::string& warning : result.warnings) {
      warnings += fmt::format("warning: {}: {}\n", result.method, warning);
    }
  }
  nlohmann::json json = {{"weight", command.weight},
                         {"rows", weight.values.rows()},
                         {"cols", weight.values.cols()},
                         {"results", std::move(rows)}};
  if (!command.out.empty()) json["out"] = command.out;
  context.print(json, warnings + to_markdown(table));
}

}  // namespace

void add_quantize_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<QuantizeCommand>();
  Command& command =
      add_command(line, context, "quantize", "Compare methods on one tensor",
                  {"lcomp quantize models/smollm2:model.layers.0.mlp.up_proj.weight --method rtn:bits=4 --method "
                   "rtn:bits=4,grid=mse",
                   "lcomp quantize layer.safetensors:W --hessian layer.safetensors:H --method "
                   "gptq:bits=3,group=64,act_order --out layer3.safetensors"});
  command.argument("WEIGHT", options->weight, "FILE.safetensors:TENSOR, or MODEL:TENSOR");
  command.option("--hessian PLACE", options->hessian, "FILE.safetensors:TENSOR, [columns, columns]: 2/n sum x x^T");
  command.option("--method METHOD", options->methods, "a method string (docs/cli.md); several give a table").required();
  command.option("--out FILE", options->out,
                 "file for the decoded weight and its stored parts; with several methods under METHOD/");
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
