#include "lcomp/pipeline/learning_setting.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/core/sizes.h"
#include "lcomp/eval/choice_prompts.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/pipeline/model_tokenizer.h"

namespace lcomp {
namespace {

constexpr const char* text_keys[] = {"texts", "tokens", "short_texts", "long_texts", "seed", "bos"};

TokenBatch part(const TokenBatch& batch, std::size_t first, std::size_t count) {
  TokenBatch some;
  for (std::size_t s = first; s < first + count; ++s) some.add(batch.sequence(s));
  return some;
}

LearningTask text_task(const LearningSetting& setting, Decoder& original, TokenBatch batch) {
  if (setting.cost == LearningSetting::Cost::divergence) return divergence_task(original, std::move(batch));
  auto cost = std::make_unique<NextTokenCost>(batch);
  return {std::move(batch), std::move(cost)};
}

// The answer's letter among those of its question.
LearningTask answer_task(std::span<const PreparedQuestion* const> questions) {
  LearningTask task;
  std::vector<Choice> choices;
  for (const PreparedQuestion* question : questions) {
    const ChoicePrompt& prompt = question->prompts.front();
    task.batch.add(prompt.ids);
    choices.push_back({task.batch.tokens() - 1, prompt.targets, question->question.answer});
  }
  task.cost = std::make_unique<ChoiceCost>(std::move(choices));
  return task;
}

// Tasks of `each` sequences or questions for training, and one that is held out.
struct Tasks {
  std::vector<LearningTask> training;
  LearningTask held_out;
  std::string description;
};

Tasks tasks_from_questions(const LearningSetting& setting, std::size_t each, const ModelFolder& model) {
  const ChoiceTask task =
      make_choice_task(*setting.questions, *load_model_tokenizer(model), model.config.max_positions, setting.data);
  std::vector<const PreparedQuestion*> usable;
  for (const PreparedQuestion& question : task.questions) {
    if (!question.too_long && question.prompts.front().alternatives) usable.push_back(&question);
  }
  const std::size_t wanted = setting.training + setting.held_out;
  if (usable.size() < wanted) {
    throw Error({"questions to learn from",
                 fmt::format("{} questions that are answered by a letter of one token", usable.size()),
                 fmt::format("{} to learn from and {} held out", setting.training, setting.held_out),
                 "ask for fewer, or name a larger set"});
  }
  Rng(setting.questions->seed).split("learning").shuffle(std::span(usable));
  Tasks tasks;
  for (std::size_t first = 0; first < setting.training; first += each) {
    tasks.training.push_back(answer_task(std::span(usable).subspan(first, std::min(each, setting.training - first))));
  }
  tasks.held_out = answer_task(std::span(usable).subspan(setting.training, setting.held_out));
  tasks.description =
      fmt::format("answers, {} and {} questions of {}", setting.training, setting.held_out, task.description);
  return tasks;
}

Tasks tasks_of(const LearningSetting& setting, std::size_t each, const ModelFolder& model, ComputeType compute,
               const ProgressCallback& callback) {
  if (setting.questions) return tasks_from_questions(setting, each, model);
  const CalibrationTexts texts = read_calibration_texts(setting.texts, *load_model_tokenizer(model));
  Decoder original(model, compute);
  Progress progress(callback, "the original on the texts to learn from", setting.training + setting.held_out);
  const auto next = [&](std::size_t first, std::size_t count) {
    LearningTask task = text_task(setting, original, part(texts.batch, setting.skip + first, count));
    progress.advance(count);
    return task;
  };
  Tasks tasks;
  for (std::size_t first = 0; first < setting.training; first += each) {
    tasks.training.push_back(next(first, std::min(each, setting.training - first)));
  }
  tasks.held_out = next(setting.training, setting.held_out);
  tasks.description = fmt::format("{}, the last {} and {} of {}",
                                  setting.cost == LearningSetting::Cost::divergence ? "divergence" : "cross_entropy",
                                  setting.training, setting.held_out, texts.description);
  return tasks;
}

}  // namespace

LearningSetting LearningSetting::from_json(const nlohmann::json& json, const nlohmann::json& calibration,
                                           const std::string& where, const std::string& data) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  ConfigReader reader(json, where);
  LearningSetting setting;
  setting.data = data;
  const std::string cost = reader.one_of_or("cost", "divergence", {"divergence", "cross_entropy", "answers"});
  setting.cost = cost == "answers" ? Cost::answers : cost == "cross_entropy" ? Cost::cross_entropy : Cost::divergence;
  const bool answers = setting.cost == Cost::answers;
  setting.training = static_cast<std::size_t>(reader.integer_or("sequences", answers ? 256 : 24, 1, most));
  setting.held_out = static_cast<std::size_t>(reader.integer_or("held_out", answers ? 256 : 16, 1, most));
  setting.rounds = static_cast<int>(reader.integer_or("rounds", setting.rounds, 1, 1000));
  if (answers) {
    ConfigReader questions(reader.object("questions"), reader.where("questions"));
    const std::string task = questions.one_of("task", {"mmlu", "arc-easy", "arc-challenge", "choices"});
    setting.questions = ChoiceProtocol::from_config(*ChoiceProtocol::task_from_name(task), questions);
    questions.finish();
    if (setting.questions->prompt != ChoiceProtocol::Prompt::letters) {
      throw Error({reader.where("questions"), "prompts without letters", "\"prompt\": \"letters\"", ""});
    }
    reader.finish();
    return setting;
  }
  nlohmann::json texts = nlohmann::json::object();
  for (const char* key : text_keys) {
    if (calibration.is_object() && calibration.contains(key)) texts[key] = calibration[key];
    if (reader.has(key)) texts[key] = reader.any(key);
  }
  if (!texts.contains("texts")) {
    throw Error({reader.where("texts"), "no texts to learn from", R"("c4", or files)",
                 "those of \"calibration\" serve where it has some"});
  }
  const bool same_texts = calibration.is_object() && calibration.value("texts", nlohmann::json()) == texts["texts"];
  setting.skip = static_cast<std::size_t>(
      reader.integer_or("skip", same_texts ? calibration.value("sequences", std::int64_t{128}) : 0, 0, most));
  reader.finish();
  texts["sequences"] = setting.skip + setting.training + setting.held_out;
  setting.texts = CalibrationSetting::from_json(texts, where, data).texts;
  return setting;
}

TuningSetting TuningSetting::from_json(const nlohmann::json& json, const nlohmann::json& calibration,
                                       const std::string& where, const std::string& data) {
  TuningSetting setting;
  ConfigReader reader(json, where);
  setting.steps = static_cast<int>(reader.integer_or("steps", setting.steps, 1, 1000000));
  if (reader.has("rate")) setting.rate = reader.real("rate", 1e-9, 1);
  setting.sequences_per_step = static_cast<std::size_t>(reader.integer_or("sequences_per_step", 1, 1, 1000000));
  if (reader.has("rounds")) throw Error({reader.where("rounds"), "rounds of a tuning", "\"steps\"", ""});
  nlohmann::json texts = json;
  for (const char* key : {"steps", "rate", "sequences_per_step"}) texts.erase(key);
  if (!texts.contains("sequences") && texts.value("cost", "divergence") != "answers") texts["sequences"] = 48;
  setting.texts = LearningSetting::from_json(texts, calibration, where, data);
  return setting;
}

std::string describe(const LearningSetting& setting) {
  constexpr const char* costs[] = {"divergence", "cross entropy", "answers"};
  return fmt::format("{} of {}, {} and {} after {}, {} rounds", costs[static_cast<int>(setting.cost)],
                     setting.questions ? setting.questions->to_json().dump() : describe(setting.texts),
                     setting.training, setting.held_out, setting.skip, setting.rounds);
}

std::string describe(const TuningSetting& setting) {
  return fmt::format("{}; {} steps of {} at {}", describe(setting.texts), setting.steps, setting.sequences_per_step,
                     setting.rate.value_or(0));
}

TuningOptions make_tuning(const TuningSetting& setting, const ModelFolder& model, ComputeType compute,
                          const ProgressCallback& progress) {
  Tasks tasks = tasks_of(setting.texts, setting.sequences_per_step, model, compute, progress);
  TuningOptions tuning;
  tuning.training = std::move(tasks.training);
  tuning.held_out = std::move(tasks.held_out);
  tuning.description = std::move(tasks.description);
  tuning.steps = setting.steps;
  tuning.rate = setting.rate;
  return tuning;
}

LearningOptions make_learning(const LearningSetting& setting, const ModelFolder& model, ComputeType compute,
                              const ProgressCallback& progress) {
  constexpr std::size_t parts = 4;
  Tasks tasks = tasks_of(setting, divide_up(setting.training, parts), model, compute, progress);
  LearningOptions learning;
  learning.training = std::move(tasks.training);
  learning.validation = std::move(tasks.held_out);
  learning.description = std::move(tasks.description);
  learning.rounds = setting.rounds;
  return learning;
}

}  // namespace lcomp
