#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "commands/command_context.h"
#include "commands/compute_option.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/cost.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/forward/logit_chunks.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/pipeline/model_tokenizer.h"

namespace lcomp {
namespace {

constexpr std::size_t kRowsAtOnce = 128;

struct LogitsOptions {
  std::string model;
  std::string input_ids;
  std::string text;
  std::string out;
  bool hidden_states = false;
  bool loss = false;
  bool gradients = false;
  ComputeType compute = ComputeType::float32;
};

struct Input {
  TokenBatch batch;
  std::size_t rows = 0;    // sequences
  std::size_t tokens = 0;  // of each
};

Input read_input(const LogitsOptions& options, const ModelFolder& model) {
  Input input;
  if (options.input_ids.empty()) {
    const auto ids = load_model_tokenizer(model)->encode(options.text, true);
    if (ids.empty()) throw Error({"--text", "no token in it", "at least one", ""});
    input.batch.add(ids);
    input.rows = 1;
    input.tokens = ids.size();
    return input;
  }
  const SafetensorsFile file(options.input_ids);
  const SafetensorsEntry& entry = file.entry("input_ids");
  if ((entry.type != DataType::i64 && entry.type != DataType::i32) || entry.shape.size() != 2 || entry.bytes.empty()) {
    throw Error({options.input_ids + ": input_ids",
                 fmt::format("{} of {} dimensions", name(entry.type), entry.shape.size()),
                 "I64 or I32 of shape [batch, tokens], not empty", ""});
  }
  input.rows = entry.shape[0];
  input.tokens = entry.shape[1];
  std::vector<float> values(input.rows * input.tokens);  // ids are under 2^24, so float32 holds them exactly
  to_float(entry, 0, values);
  for (std::size_t row = 0; row < input.rows; ++row) {
    std::vector<std::int32_t> ids(input.tokens);
    std::transform(values.begin() + static_cast<std::ptrdiff_t>(row * input.tokens),
                   values.begin() + static_cast<std::ptrdiff_t>((row + 1) * input.tokens), ids.begin(),
                   [](float value) { return value >= 0 && value < 0x1p24f ? static_cast<std::int32_t>(value) : -1; });
    input.batch.add(ids);
  }
  return input;
}

// Writes the residual stream into the file as the forward pass goes.
class HiddenStateWriter : public BlockVisitor {
 public:
  explicit HiddenStateWriter(SafetensorsWriter& writer) : writer_(writer) {}
  void hidden(std::size_t layer, ConstMatrixView states) override {
    for (std::size_t row = 0; row < states.rows(); ++row)
      writer_.write_float(fmt::format("hidden.{}", layer), states.row(row));
  }

 private:
  SafetensorsWriter& writer_;
};

// Writes the gradient of each tensor as the backward pass hands it over.
class GradientWriter : public GradientVisitor {
 public:
  explicit GradientWriter(SafetensorsWriter& writer) : writer_(writer) {}
  bool wants_tensor(const std::string&) override { return true; }
  void tensor_gradient(const std::string& name, std::span<const std::size_t>,
                       std::span<const float> gradient) override {
    writer_.write_float("grad." + name, gradient);
  }

 private:
  SafetensorsWriter& writer_;
};

double write_gradients(Decoder& decoder, const TokenBatch& batch, LogitCost& cost, SafetensorsWriter& writer,
                       const CommandContext& context) {
  GradientWriter visitor(writer);
  GradientOptions options;
  options.progress = context.progress();
  const auto padding = decoder.model().config_json.find("pad_token_id");
  if (padding != decoder.model().config_json.end() && padding->is_number_unsigned())
    options.padding_token = padding->get<std::int32_t>();
  return gradients(decoder, batch, cost, visitor, options);
}

void run(const LogitsOptions& options, const CommandContext& context) {
  Decoder decoder(open_model(options.model), options.compute);
  const Input input = read_input(options, decoder.model());
  const DecoderConfig& config = decoder.config();

  std::vector<SafetensorsDeclaration> declared;
  if (options.hidden_states) {
    for (std::size_t layer = 0; layer <= config.num_layers(); ++layer) {
      declared.push_back(
          {fmt::format("hidden.{}", layer), DataType::f32, {input.rows, input.tokens, config.hidden_size}});
    }
    declared.push_back({"hidden.norm", DataType::f32, {input.rows, input.tokens, config.hidden_size}});
  }
  declared.push_back({"input_ids", DataType::i64, {input.rows, input.tokens}});
  declared.push_back({"logits", DataType::f32, {input.rows, input.tokens, config.vocab_size}});
  // In the order in which they become known.
  if (options.gradients) {
    for (const std::string& tensor : gradient_order(decoder.model()))
      declared.push_back({"grad." + tensor, DataType::f32, decoder.model().tensors->info(tensor).shape});
  }
  if (options.loss) declared.push_back({"loss", DataType::f32, {}});
  std::optional<NextTokenCost> cost;
  if (options.loss || options.gradients) cost.emplace(input.batch);
  SafetensorsWriter writer(options.out, declared);

  HiddenStateWriter hidden(writer);
  ForwardOptions forward;
  forward.progress = context.progress();
  if (options.hidden_states) forward.visitor = &hidden;
  Matrix normed = decoder.forward(input.batch, forward);
  if (options.hidden_states) writer.write_float("hidden.norm", normed.span());

  const std::vector<std::int64_t> ids(input.batch.ids.begin(), input.batch.ids.end());
  writer.write("input_ids", std::as_bytes(std::span(ids)));
  double loss = 0;
  for_each_logits(decoder, normed.view(), kRowsAtOnce, [&](std::size_t first, MatrixView<float> rows) {
    writer.write_float("logits", {rows.data(), rows.size()});
    for (std::size_t i = 0; options.loss && !options.gradients && i < rows.rows(); ++i) {
      const std::size_t token = first + i;
      if (cost->needs(token)) loss += cost->add_gradient({&token, 1}, rows.rows_range(i, 1));
    }
  });
  normed = Matrix();
  if (options.gradients) loss = write_gradients(decoder, input.batch, *cost, writer, context);
  if (options.loss) {
    const auto value = static_cast<float>(loss);
    writer.write_float("loss", {&value, 1});
  }
  writer.finish();
  nlohmann::json result = {
      {"out", options.out}, {"sequences", input.rows}, {"tokens", input.tokens}, {"vocab_size", config.vocab_size}};
  std::string text =
      fmt::format("{}: logits [{}, {}, {}]{}{}\n", options.out, input.rows, input.tokens, config.vocab_size,
                  options.hidden_states ? ", hidden states" : "", options.gradients ? ", gradients" : "");
  if (options.loss) {
    result["loss"] = loss;
    text += fmt::format("loss {:.6f}\n", loss);
  }
  context.print(result, text);
}

}  // namespace

void add_logits_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<LogitsOptions>();
  Command& command =
      add_command(line, context, "logits", "Write a model's logits, to compare with another implementation",
                  {"lcomp logits models/smollm2 --text \"The capital of France is\" --out logits.safetensors",
                   "lcomp logits models/smollm2 --input-ids ids.safetensors --hidden-states --out out.safetensors",
                   "lcomp logits models/smollm2 --text \"The capital of France is Paris\" --loss --gradients --out "
                   "gradients.safetensors"});
  command.argument("MODEL", options->model, "model folder or GGUF file");
  command.option("--input-ids FILE", options->input_ids, "safetensors file with input_ids [batch, tokens], I64 or I32");
  command.option("--text TEXT", options->text, "a text, tokenized with the model's tokenizer");
  command.exactly_one({"--input-ids", "--text"}, "the input");
  command.option("--out FILE", options->out, "safetensors file to write: input_ids, logits, hidden.*, loss, grad.*")
      .required();
  command.flag("--hidden-states", options->hidden_states,
               "also hidden.0 (input of the first block) ... hidden.L, and hidden.norm");
  command.flag("--loss", options->loss, "also loss: the mean cross-entropy of each token given those before it");
  command.flag("--gradients", options->gradients, "also grad.TENSOR: the gradient of that loss, for every tensor");
  add_compute_option(command, options->compute);
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
