#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "commands/command_context.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {
namespace {

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text;
  for (const std::size_t n : shape) text += (text.empty() ? "" : " x ") + std::to_string(n);
  return text.empty() ? "scalar" : text;
}

double bits_per_weight(std::uint64_t bytes, std::uint64_t parameters) {
  return parameters == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
}

void run(const std::string& path, const CommandContext& context) {
  const ModelFolder model = open_model(path);
  const std::uint64_t parameters = model.parameters();
  const std::uint64_t bytes = model.stored_bytes();
  const double ratio = 2.0 * static_cast<double>(parameters) / static_cast<double>(std::max<std::uint64_t>(bytes, 1));

  nlohmann::json tensors = nlohmann::json::array();
  std::size_t longest = 6;
  for (const TensorInfo& tensor : model.tensors->tensors()) longest = std::max(longest, tensor.name.size());
  std::string text =
      fmt::format("{:<{}}  {:>14}  {:>12}  {:>7}  {}\n", "tensor", longest, "shape", "bytes", "bits", "stored as");
  for (const TensorInfo& tensor : model.tensors->tensors()) {
    const double bits = bits_per_weight(tensor.stored_bytes, tensor.elements());
    text += fmt::format("{:<{}}  {:>14}  {:>12}  {:>7.3f}  {}\n", tensor.name, longest, shape_text(tensor.shape),
                        tensor.stored_bytes, bits, tensor.stored_as);
    tensors.push_back({{"name", tensor.name},
                       {"shape", tensor.shape},
                       {"stored_as", tensor.stored_as},
                       {"bytes", tensor.stored_bytes},
                       {"bits_per_weight", bits}});
  }
  text += fmt::format("\n{}: {} layers of hidden size {}, vocabulary {}\n", model.config.family,
                      model.config.num_layers(), model.config.hidden_size, model.config.vocab_size);
  text += fmt::format("{} parameters in {} bytes: {:.4f} bits per weight, ratio {:.3f}\n", parameters, bytes,
                      bits_per_weight(bytes, parameters), ratio);
  context.print({{"model", path},
                 {"family", model.config.family},
                 {"layers", model.config.num_layers()},
                 {"hidden_size", model.config.hidden_size},
                 {"vocab_size", model.config.vocab_size},
                 {"parameters", parameters},
                 {"bytes", bytes},
                 {"bits_per_weight", bits_per_weight(bytes, parameters)},
                 {"ratio", ratio},
                 {"tensors", tensors}},
                text);
}

}  // namespace

void add_inspect_command(CommandLine& line, CommandContext& context) {
  const auto path = std::make_shared<std::string>();
  Command& command = add_command(line, context, "inspect", "List a model's tensors: shapes, formats, bits, bytes",
                                 {"lcomp inspect models/smollm2", "lcomp inspect out/smollm2-4bit --json"});
  command.argument("MODEL", *path, "model folder, compressed model or GGUF file");
  command.action([path, &context] { run(*path, context); });
}

}  // namespace lcomp
