#include <fmt/format.h>

#include <memory>
#include <optional>

#include "commands/command_context.h"
#include "commands/compute_option.h"
#include "commands/eval_choices.h"
#include "lcomp/core/error.h"
#include "lcomp/eval/choice_protocol.h"
#include "lcomp/eval/reference_cache.h"
#include "lcomp/eval/text_scores.h"
#include "lcomp/models/model_identity.h"
#include "lcomp/pipeline/model_tokenizer.h"

namespace lcomp {
namespace {

struct EvalOptions {
  std::string model;
  std::string task = "perplexity";
  std::string reference;
  std::string cache;
  std::string protocol = "wikitext2";
  std::string file;
  std::optional<std::size_t> window;
  std::optional<std::size_t> first_scored;
  std::optional<std::size_t> sequences;
  bool no_bos = false;
  ChoiceOptions choices;
  ComputeType compute = ComputeType::float32;
};

// The command line's protocol goes through the reader of configuration files, so that both have the same defaults and
// bounds.
TextProtocol protocol_of(const EvalOptions& options) {
  nlohmann::json json = {{"protocol", options.file.empty() ? options.protocol : "file"}, {"bos", !options.no_bos}};
  if (!options.file.empty()) json["file"] = options.file;
  if (options.window) json["window"] = *options.window;
  if (options.first_scored) json["first_scored"] = *options.first_scored;
  if (options.sequences) json["sequences"] = *options.sequences;
  ConfigReader reader(json, "command line");
  return TextProtocol::from_config(reader);
}

// Options of the other kind of task would do nothing: they are a mistake.
void refuse_options(const Command& command, const std::string& task, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (!command.given(name)) continue;
    throw Error({name, "an option that means nothing to --task " + task, "", "leave it out, or choose another task"});
  }
}

void run(const Command& command, const EvalOptions& options, const CommandContext& context) {
  if (ChoiceProtocol::task_from_name(options.task)) {
    refuse_options(command, options.task,
                   {"--reference", "--cache", "--protocol", "--window", "--first-scored", "--sequences"});
    run_choice_task(options.model, options.task, options.file, !options.no_bos, options.compute, options.choices,
                    context);
    return;
  }
  refuse_options(command, options.task,
                 {"--shots", "--prompt", "--normalize", "--subject", "--shots-file", "--limit", "--seed", "--answers",
                  "--against", "--unshared"});
  const bool with_kl = options.task == "kl";
  if (!with_kl) refuse_options(command, options.task, {"--reference", "--cache"});
  if (with_kl && options.reference.empty()) {
    throw Error({"--task kl", "no --reference", "the original model that the divergence is measured from", ""});
  }
  const TextProtocol protocol = protocol_of(options);
  Decoder decoder(open_model(options.model), options.compute);
  const auto tokenizer = load_model_tokenizer(decoder.model());
  const ScoringBatch batch = make_scoring_batch(protocol, *tokenizer, context.data);

  ForwardOptions forward;
  forward.progress = context.progress();
  std::optional<Decoder> original;
  Matrix original_states;
  ReferenceStates reference;
  if (with_kl) {
    original.emplace(open_model(options.reference), options.compute);
    forward.progress_label = "original";
    original_states =
        options.cache.empty()
            ? scored_states(*original, batch, forward)
            : cached_states(reference_file(options.cache, model_identity(original->model()), options.compute, batch),
                            *original, batch, forward);
    reference = {&*original, &original_states};
  }
  forward.progress_label = "model";
  const TextScores scores = score_texts(decoder, batch, reference, forward);

  nlohmann::json json = {{"model", options.model},
                         {"task", options.task},
                         {"protocol", protocol.to_json()},
                         {"description", batch.description},
                         {"perplexity", to_json(scores.perplexity)}};
  std::string text =
      fmt::format("{}\nperplexity      {:.4f}\nmean NLL        {:.6f}\nscored tokens   {}\n", batch.description,
                  scores.perplexity.perplexity, scores.perplexity.mean_nll, scores.perplexity.scored_tokens);
  if (scores.divergence) {
    const KlResult& kl = *scores.divergence;
    json["reference"] = options.reference;
    json["kl"] = to_json(kl);
    text += fmt::format(
        "KL mean         {:.6f}\nKL median       {:.6f}\nKL p99          {:.6f}\nKL max          {:.6f}\ntop-1 "
        "agreement {:.4f}\n",
        kl.kl.mean, kl.kl.median, kl.kl.p99, kl.kl.maximum, kl.top1_agreement);
  }
  context.print(json, text);
}

}  // namespace

void add_eval_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<EvalOptions>();
  Command& command = add_command(
      line, context, "eval", "Score a model: perplexity, KL divergence from its original, questions with choices",
      {"lcomp eval models/smollm2 --task perplexity --protocol wikitext2 --sequences 16",
       "lcomp eval out/smollm2-4bit --task kl --reference models/smollm2 --protocol c4 --sequences 8 --cache "
       "runs/reference",
       "lcomp eval models/smollm2 --file my_text.txt --window 256 --json",
       "lcomp eval models/smollm2 --task mmlu --limit 500 --answers smollm2.jsonl",
       "lcomp eval out/smollm2-4bit --task arc-easy --prompt cloze"});
  command.argument("MODEL", options->model, "model folder, compressed model or GGUF file");
  command.option("--task", options->task, "kl reports perplexity too; choices: questions of --file")
      .one_of({"perplexity", "kl", "mmlu", "arc-easy", "arc-challenge", "choices"});
  command.option("--reference MODEL", options->reference, "the original, for --task kl");
  command.option("--cache FOLDER", options->cache,
                 "kl: keep what the original computed in this folder, and take it from there the next time");
  command.option("--protocol", options->protocol, "the texts to score, and how").one_of({"wikitext2", "c4"});
  command.option("--file FILE", options->file,
                 "score this text instead: .jsonl like c4, anything else like wikitext2; choices: JSON lines of "
                 "questions");
  command.option("--window N", options->window, "tokens in a sequence").default_is("512; c4: 1024");
  command.option("--first-scored N", options->first_scored, "first scored position").default_is("1; c4: 512");
  command.option("--sequences N", options->sequences, "at most so many windows or texts").default_is("all");
  command.flag("--no-bos", options->no_bos, "don't let the tokenizer add its begin token");
  command.option("--data FOLDER", context.data, "folder with the data sets").default_is("LCOMP_DATA");
  add_choice_options(command, options->choices);
  add_compute_option(command, options->compute);
  command.action([&command, options, &context] { run(command, *options, context); });
}

}  // namespace lcomp
