#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>

#include "commands/command_context.h"
#include "commands/compute_option.h"
#include "commands/interrupt_signal.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/generation.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/pipeline/model_tokenizer.h"

namespace lcomp {
namespace {

struct GenerateCommand {
  std::string model;
  std::string prompt;
  std::vector<std::int32_t> ids;
  std::size_t max_tokens = 128;
  SamplingOptions sampling;
  std::uint64_t seed = 1;
  bool ignore_end = false;
  ComputeType compute = ComputeType::float32;
};

void add_ids(const nlohmann::json& json, std::vector<std::int32_t>& ids) {
  const auto value = json.find("eos_token_id");
  if (value == json.end()) return;
  if (value->is_number_integer()) ids.push_back(value->get<std::int32_t>());
  if (!value->is_array()) return;
  for (const auto& id : *value) {
    if (id.is_number_integer()) ids.push_back(id.get<std::int32_t>());
  }
}

// The ids that end a text: of config.json, and of generation_config.json where there is one.
std::vector<std::int32_t> end_ids(const ModelFolder& model) {
  std::vector<std::int32_t> ids;
  add_ids(model.config_json, ids);
  const auto path = model.path / "generation_config.json";
  if (std::filesystem::exists(path)) add_ids(parse_json_file(path), ids);
  return ids;
}

// Writes the text of the tokens as they come. The text of a token may end within a character, which then waits for the
// next.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void add(std::int32_t id) {
    ids_.push_back(id);
    const std::string text = tokenizer_.decode(ids_);
    if (text.ends_with("\xef\xbf\xbd") || text.size() < printed_) return;
    std::fwrite(text.data() + printed_, 1, text.size() - printed_, stdout);
    std::fflush(stdout);
    printed_ = text.size();
  }

 private:
  const Tokenizer& tokenizer_;
  std::vector<std::int32_t> ids_;
  std::size_t printed_ = 0;
};

void run(const GenerateCommand& command, const CommandContext& context) {
  Decoder decoder(open_model(command.model), command.compute);
  for (const std::int32_t id : command.ids) {  // before anything is printed
    if (id >= 0 && static_cast<std::size_t>(id) < decoder.config().vocab_size) continue;
    throw Error({"--ids", fmt::format("the token id {}", id),
                 fmt::format("0 to {}, the model's vocabulary", decoder.config().vocab_size - 1), ""});
  }
  std::unique_ptr<Tokenizer> tokenizer;  // null: ids in, ids out
  std::vector<std::int32_t> prompt = command.ids;
  if (prompt.empty()) {
    tokenizer = load_model_tokenizer(decoder.model());
    prompt = tokenizer->encode(command.prompt, true);
    if (prompt.empty()) throw Error({"--prompt", "no token in it", "at least one", ""});
  }
  GenerationSession session(decoder);

  std::optional<TextStream> stream;
  if (tokenizer != nullptr) stream.emplace(*tokenizer);
  GenerationOptions options;
  options.max_tokens = command.max_tokens;
  options.sampling = command.sampling;
  if (!command.ignore_end) options.stop_ids = end_ids(decoder.model());
  options.on_token = [&](std::int32_t id) {
    if (!context.json && stream) stream->add(id);
    if (!context.json && !stream) {
      fmt::print("{} ", id);
      std::fflush(stdout);
    }
    return !interrupt_requested();
  };
  if (!context.json)
    fmt::print("{}", tokenizer != nullptr ? command.prompt : fmt::format("{} ", fmt::join(prompt, " ")));
  Rng rng(command.seed);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::int32_t> ids = generate(session, prompt, options, rng);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double rate = static_cast<double>(ids.size()) / seconds;
  const char* const stopped = interrupt_requested()             ? "interrupted"
                              : ids.size() < command.max_tokens ? "end"
                                                                : "length";

  if (context.json) {
    nlohmann::json json = {{"ids", ids},
                           {"prompt_tokens", prompt.size()},
                           {"generated_tokens", ids.size()},
                           {"tokens_per_second", rate},
                           {"stopped", stopped}};
    if (tokenizer != nullptr) {
      json["prompt"] = command.prompt;
      json["text"] = tokenizer->decode(ids);
    } else {
      json["prompt_ids"] = prompt;
    }
    context.print(json, "");
    return;
  }
  fmt::print("\n");
  if (!context.quiet) fmt::print(stderr, "{} tokens, {:.1f} a second ({})\n", ids.size(), rate, stopped);
}

}  // namespace

void add_generate_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<GenerateCommand>();
  Command& command = add_command(
      line, context, "generate", "Continue a text",
      {"lcomp generate models/smollm2 --prompt \"The capital of France is\" --max-tokens 32",
       "lcomp generate out/smollm2-4bit --prompt \"Once upon a time\" --temperature 0.8 --top-p 0.95 --seed 7",
       "lcomp generate models/without-tokenizer --ids 1,15043,29892 --max-tokens 8"});
  command.argument("MODEL", options->model, "model folder, compressed model or GGUF file");
  command.option("--prompt TEXT", options->prompt, "the text to continue");
  command.option("--ids ID", options->ids, "token ids to continue, between commas; ids are printed: no tokenizer")
      .separated_by(',');
  command.exactly_one({"--prompt", "--ids"}, "the beginning");
  command.option("--max-tokens N", options->max_tokens, "at most so many new tokens").between(1, 1 << 20);
  command.option("--temperature T", options->sampling.temperature, "0: always the most likely token").at_least(0);
  command.option("--top-k K", options->sampling.top_k, "choose among the k most likely").default_is("all");
  command.option("--top-p P", options->sampling.top_p, "choose among the fewest with this probability")
      .between(1e-9, 1);
  command.option("--seed N", options->seed, "seed of the choices");
  command.flag("--ignore-end", options->ignore_end, "go on after the model's end of text");
  add_compute_option(command, options->compute);
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
