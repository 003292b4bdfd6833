#include "lcomp/eval/choice_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>

#include "lcomp/core/error.h"
#include "lcomp/eval/texts.h"

namespace lcomp {
namespace {

using Task = ChoiceProtocol::Task;
using Prompt = ChoiceProtocol::Prompt;
using Normalization = ChoiceProtocol::Normalization;

constexpr std::array<std::pair<Task, const char*>, 4> task_names = {{{Task::mmlu, "mmlu"},
                                                                     {Task::arc_easy, "arc-easy"},
                                                                     {Task::arc_challenge, "arc-challenge"},
                                                                     {Task::choices, "choices"}}};

std::string name_of(Task task) {
  for (const auto& [value, name] : task_names) {
    if (value == task) return name;
  }
  return {};
}

std::string name_of(Normalization normalization) {
  switch (normalization) {
    case Normalization::byte:
      return "byte";
    case Normalization::token:
      return "token";
    case Normalization::none:
      return "none";
  }
  return {};
}

}  // namespace

std::optional<Task> ChoiceProtocol::task_from_name(const std::string& name) {
  for (const auto& [value, known] : task_names) {
    if (name == known) return value;
  }
  return std::nullopt;
}

ChoiceProtocol ChoiceProtocol::from_config(Task task, ConfigReader& config) {
  ChoiceProtocol protocol;
  protocol.task = task;
  const bool has_examples = task == Task::mmlu || task == Task::choices;
  if (config.one_of_or("prompt", "letters", {"letters", "cloze"}) == "cloze") protocol.prompt = Prompt::cloze;
  if (protocol.prompt == Prompt::cloze) {
    const std::string by = config.one_of_or("normalize", "byte", {"byte", "token", "none"});
    protocol.normalization =
        by == "byte" ? Normalization::byte : (by == "token" ? Normalization::token : Normalization::none);
  }
  protocol.shots =
      static_cast<std::size_t>(config.integer_or("shots", task == Task::mmlu ? 5 : 0, 0, has_examples ? 5 : 0));
  if (task == Task::mmlu && config.has("subjects")) protocol.subjects = config.strings("subjects");
  if (task == Task::choices) {
    protocol.file = config.string("file");
    protocol.shots_file = config.string_or("shots_file", "");
    if (protocol.shots > 0 && protocol.shots_file.empty()) {
      throw Error({config.where("shots"), fmt::format("{} shots without a \"shots_file\"", protocol.shots),
                   "a file of examples", ""});
    }
  }
  if (config.has("limit")) {
    protocol.limit = static_cast<std::size_t>(config.integer("limit", 1, std::int64_t{1} << 40));
  }
  protocol.seed = static_cast<std::uint64_t>(config.integer_or("seed", 0, 0, std::numeric_limits<std::int64_t>::max()));
  protocol.add_special = config.boolean_or("bos", true);
  return protocol;
}

nlohmann::json ChoiceProtocol::to_json() const {
  nlohmann::json json = {{"task", name_of(task)},
                         {"prompt", prompt == Prompt::letters ? "letters" : "cloze"},
                         {"shots", shots},
                         {"bos", add_special}};
  if (prompt == Prompt::cloze) json["normalize"] = name_of(normalization);
  if (!subjects.empty()) json["subjects"] = subjects;
  if (!file.empty()) json["file"] = file.string();
  if (!shots_file.empty()) json["shots_file"] = shots_file.string();
  if (limit) {
    json["limit"] = *limit;
    json["seed"] = seed;
  }
  return json;
}

std::string ChoiceProtocol::name() const { return task == Task::choices ? file.filename().string() : name_of(task); }

ChoiceSet read_choice_set(const ChoiceProtocol& protocol, const std::string& data) {
  ChoiceSet set;
  switch (protocol.task) {
    case Task::mmlu:
      set = read_mmlu(data_folder(data), protocol.subjects);
      break;
    case Task::arc_easy:
      set = read_arc(data_folder(data), ArcLevel::easy);
      break;
    case Task::arc_challenge:
      set = read_arc(data_folder(data), ArcLevel::challenge);
      break;
    case Task::choices:
      set = read_choices(protocol.file, protocol.shots_file);
      break;
  }
  std::map<std::string, std::size_t> examples;
  for (const ChoiceQuestion& shot : set.shots) ++examples[shot.subject];
  for (const ChoiceQuestion& question : set.questions) {
    if (examples[question.subject] >= protocol.shots) continue;
    throw Error({protocol.name(),
                 fmt::format("{} examples of the subject \"{}\"", examples[question.subject], question.subject),
                 fmt::format("at least {}", protocol.shots), "ask for fewer shots"});
  }
  if (protocol.limit) set.questions = stratified_sample(set.questions, *protocol.limit, protocol.seed);
  return set;
}

std::string letters_question(const ChoiceQuestion& question) {
  std::string text = question.question;
  for (std::size_t i = 0; i < question.choices.size(); ++i) {
    text += fmt::format("\n{}. {}", question.labels[i], question.choices[i]);
  }
  return text + "\nAnswer:";
}

std::string letters_header(const ChoiceQuestion& question) {
  std::string about = question.subject;
  std::replace(about.begin(), about.end(), '_', ' ');
  return fmt::format("The following are multiple choice questions (with answers){}{}.\n\n",
                     about.empty() ? "" : " about ", about);
}

std::string choice_context(const ChoiceProtocol& protocol, const ChoiceSet& set, const ChoiceQuestion& question) {
  const bool letters = protocol.prompt == Prompt::letters;
  if (letters && !question.letter_prompt.empty()) return question.letter_prompt;
  std::string text = letters ? letters_header(question) : "";
  std::size_t used = 0;
  for (const ChoiceQuestion& shot : set.shots) {
    if (used == protocol.shots) break;
    if (shot.subject != question.subject) continue;
    ++used;
    text += letters ? fmt::format("{} {}\n\n", letters_question(shot), shot.labels[shot.answer])
                    : fmt::format("Question: {}\nAnswer: {}\n\n", shot.question, shot.choices[shot.answer]);
  }
  return text + (letters ? letters_question(question) : fmt::format("Question: {}\nAnswer:", question.question));
}

}  // namespace lcomp
