#include "commands/eval_choices.h"

#include <fmt/format.h>

#include "commands/compute_option.h"
#include "lcomp/core/error.h"
#include "lcomp/eval/answer_comparison.h"
#include "lcomp/eval/choice_scores.h"
#include "lcomp/forward/compute_type.h"
#include "lcomp/models/model_identity.h"
#include "lcomp/pipeline/model_tokenizer.h"

namespace lcomp {
namespace {

// As the command line's protocol of texts, through the reader of configuration files.
ChoiceProtocol protocol_of(const std::string& task, const std::string& file, bool add_special,
                           const ChoiceOptions& options) {
  nlohmann::json json = {{"bos", add_special}};
  const auto text = [&](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  text("prompt", options.prompt);
  text("normalize", options.normalize);
  text("file", file);
  text("shots_file", options.shots_file);
  if (options.shots) json["shots"] = *options.shots;
  if (options.limit) json["limit"] = *options.limit;
  if (options.seed) json["seed"] = *options.seed;
  if (!options.subjects.empty()) json["subjects"] = options.subjects;
  ConfigReader reader(json, "command line");
  ChoiceProtocol protocol = ChoiceProtocol::from_config(*ChoiceProtocol::task_from_name(task), reader);
  reader.finish();
  return protocol;
}

std::string line(const std::string& name, const Accuracy& accuracy) {
  return fmt::format("{:<40} {:6.2f} % +- {:.2f}  ({} of {})\n", name, 100 * accuracy.value(),
                     100 * accuracy.standard_error(), accuracy.correct, accuracy.questions);
}

std::string text_of(const ChoiceTask& task, const ChoiceSummary& summary) {
  std::string text = task.description + "\n";
  for (const auto& [name, accuracy] : summary.subjects) text += line(name, accuracy);
  for (const auto& [name, accuracy] : summary.categories) text += line(name, accuracy);
  for (const auto& [name, accuracy] : summary.normalizations) text += line("normalized by " + name, accuracy);
  if (!summary.subjects.empty()) {
    text += fmt::format("{:<40} {:6.2f} % +- {:.2f}\n", "macro average", 100 * summary.macro,
                        100 * summary.macro_standard_error);
  }
  text += line("accuracy", summary.micro);
  if (summary.too_long > 0) {
    text += fmt::format("{} questions are longer than the model's context and were not scored\n", summary.too_long);
  }
  return text;
}

}  // namespace

void add_choice_options(Command& command, ChoiceOptions& options) {
  command.option("--shots N", options.shots, "examples before a question, 0 to 5").default_is("mmlu 5, others 0");
  command
      .option("--prompt", options.prompt,
              "letters: the label with the highest logit; cloze: the choice with the highest log-likelihood")
      .one_of({"letters", "cloze"})
      .default_is("letters");
  command.option("--normalize", options.normalize, "cloze: divide log-likelihoods by byte, token or none")
      .one_of({"byte", "token", "none"})
      .default_is("byte");
  command.option("--subject NAME", options.subjects, "mmlu: only this subject; may be given several times");
  command.option("--shots-file FILE", options.shots_file, "choices: JSON lines of examples");
  command.option("--limit N", options.limit, "at most so many questions, sampled in proportion from each subject");
  command.option("--seed N", options.seed, "of the sample").default_is("0");
  command.option("--answers FILE", options.answers,
                 "keep every answer in this file (JSON lines); an interrupted run goes on from it");
  command.option("--against FILE", options.against,
                 "compare with the answers of another model, from its --answers file");
  command.flag("--unshared", options.unshared, "compute every prompt as a whole (slow; to check and to measure)");
}

void run_choice_task(const std::string& model, const std::string& task_name, const std::string& file, bool add_special,
                     ComputeType compute, const ChoiceOptions& options, const CommandContext& context) {
  const ChoiceProtocol protocol = protocol_of(task_name, file, add_special, options);
  std::optional<AnswerFile> other;
  if (!options.against.empty()) other = read_answer_file(options.against);
  Decoder decoder(open_model(model), compute);
  const auto tokenizer = load_model_tokenizer(decoder.model());
  const ChoiceTask task = make_choice_task(protocol, *tokenizer, decoder.config().max_positions, context.data);
  const nlohmann::json header = {{"protocol", protocol.to_json()},
                                 {"description", task.description},
                                 {"key", task.key},
                                 {"model", options.answers.empty() ? model : model_identity(decoder.model())},
                                 {"compute", name(compute)},
                                 {"shared", !options.unshared}};
  ChoiceScoreOptions score;
  score.forward.progress = context.progress();
  score.forward.progress_label = protocol.name();
  score.share = !options.unshared;
  AnswerFile own{header, {}};
  if (options.answers.empty()) {
    own.answers = answer_choices(decoder, task, score);
  } else {
    AnswerLog log(options.answers, header);
    own.answers = answer_choices(decoder, task, log, score);
  }
  const ChoiceSummary summary = summarize(own.answers);
  nlohmann::json json = {{"model", model},
                         {"task", task_name},
                         {"protocol", protocol.to_json()},
                         {"description", task.description},
                         {"choices", to_json(summary)}};
  std::string text = text_of(task, summary);
  if (other) {
    const AnswerComparison comparison = compare_answers(*other, own);
    json["against"] = options.against;
    json["comparison"] = to_json(comparison);
    text += fmt::format(
        "against {}: {} answers differ, {} right there only, {} right here only, p = {:.3g} (McNemar, exact)\n",
        options.against, comparison.flips, comparison.first_only, comparison.second_only, comparison.p_value);
  }
  context.print(json, text);
}

}  // namespace lcomp
