#include "lcomp/pipeline/calibration_setting.h"

#include <fmt/format.h>

#include <limits>

#include "lcomp/core/error.h"
#include "lcomp/eval/choice_protocol.h"
#include "lcomp/eval/texts.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/pipeline/model_tokenizer.h"

namespace lcomp {
namespace {

// The prompts of a task as they are asked, each with its answer.
void use_prompts(const ChoiceProtocol& protocol, const std::string& data, CalibrationTextOptions& texts) {
  texts.prompts_name = fmt::format("the prompts of {}, {}-shot", protocol.name(), protocol.shots);
  texts.prompts = [protocol, data] {
    const ChoiceSet set = read_choice_set(protocol, data);
    std::vector<std::string> prompts;
    for (const ChoiceQuestion& question : set.questions) {
      const auto& answers = protocol.prompt == ChoiceProtocol::Prompt::letters ? question.labels : question.choices;
      prompts.push_back(choice_context(protocol, set, question) + " " + answers.at(question.answer));
    }
    return prompts;
  };
}

void read_texts(ConfigReader& reader, const std::string& data, CalibrationTextOptions& texts) {
  const nlohmann::json& json = reader.any("texts");
  if (json.is_object()) {
    ConfigReader entry(json, reader.where("texts"));
    const std::string task = entry.one_of("task", {"mmlu", "arc-easy", "arc-challenge", "choices"});
    const std::string own_data = entry.string_or("data", data);
    use_prompts(ChoiceProtocol::from_config(*ChoiceProtocol::task_from_name(task), entry), own_data, texts);
    entry.finish();
  } else if (json.is_string()) {
    const std::string name = reader.one_of("texts", {"c4", "mmlu", "arc-easy", "arc-challenge"});
    if (name == "c4") {
      texts.files = {c4_training(data_folder(data))};
      return;
    }
    const nlohmann::json defaults = nlohmann::json::object();
    ConfigReader entry(defaults, reader.where("texts"));
    use_prompts(ChoiceProtocol::from_config(*ChoiceProtocol::task_from_name(name), entry), data, texts);
  } else {
    for (const std::string& file : reader.strings("texts")) texts.files.emplace_back(file);
  }
}

}  // namespace

CalibrationSetting CalibrationSetting::from_json(const nlohmann::json& json, const std::string& where,
                                                 const std::string& data) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  ConfigReader reader(json, where);
  CalibrationSetting setting;
  read_texts(reader, data, setting.texts);
  setting.texts.sequences = static_cast<std::size_t>(reader.integer_or("sequences", 128, 1, most));
  setting.texts.tokens = static_cast<std::size_t>(reader.integer_or("tokens", 2048, 1, most));
  const std::string short_texts = reader.one_of_or("short_texts", "concatenate", {"concatenate", "skip", "keep"});
  using ShortTexts = CalibrationTextOptions::ShortTexts;
  setting.texts.short_texts = short_texts == "skip"   ? ShortTexts::skip
                              : short_texts == "keep" ? ShortTexts::keep
                                                      : ShortTexts::concatenate;
  if (reader.one_of_or("long_texts", "cut", {"cut", "split"}) == "split") {
    setting.texts.long_texts = CalibrationTextOptions::LongTexts::split;
  }
  setting.texts.seed =
      static_cast<std::uint64_t>(reader.integer_or("seed", 0, 0, std::numeric_limits<std::int64_t>::max()));
  setting.texts.add_special = reader.boolean_or("bos", true);
  const std::string order = reader.one_of_or("order", "block", {"original", "block", "stage"});
  setting.order = order == "original" ? Order::original : order == "block" ? Order::block : Order::stage;
  if (reader.has("sensitivity")) {
    SensitivityOptions sensitivity;
    const std::string cost = reader.one_of("sensitivity", {"divergence", "cross_entropy"});
    sensitivity.cost = cost == "divergence" ? SensitivityCost::divergence : SensitivityCost::cross_entropy;
    sensitivity.row_groups = static_cast<std::size_t>(reader.integer_or("row_groups", 1, 1, 1024));
    sensitivity.draws = static_cast<std::size_t>(reader.integer_or("draws", 1, 1, 1024));
    setting.sensitivity = sensitivity;
    if (setting.order != Order::original) {
      throw Error(
          {reader.where("sensitivity"), "order " + order, "order original", "sensitivities are those of the original"});
    }
  }
  setting.memory = static_cast<std::uint64_t>(
      reader.integer_or("memory", std::int64_t{2} << 30, 0, std::numeric_limits<std::int64_t>::max()));
  reader.finish();
  return setting;
}

CalibrationTexts calibration_texts(const CalibrationSetting& setting, const ModelFolder& model) {
  return read_calibration_texts(setting.texts, *load_model_tokenizer(model));
}

std::string describe(const CalibrationTextOptions& texts) {
  std::string text;
  for (const auto& file : texts.files) text += fmt::format("{} ", file.string());
  if (!texts.prompts_name.empty()) text += texts.prompts_name + " ";
  return text + fmt::format("{} sequences of {}, {} {}, seed {}{}", texts.sequences.value_or(0), texts.tokens,
                            static_cast<int>(texts.short_texts), static_cast<int>(texts.long_texts), texts.seed,
                            texts.add_special ? "" : ", no begin token");
}

std::string describe(const CalibrationSetting& setting) {
  constexpr const char* orders[] = {"original", "block", "stage"};
  std::string text = fmt::format("{}; order {}", describe(setting.texts), orders[static_cast<int>(setting.order)]);
  if (!setting.sensitivity) return text;
  return text + fmt::format("; sensitivity {}, {} row groups, {} draws, seed {}", name(setting.sensitivity->cost),
                            setting.sensitivity->row_groups, setting.sensitivity->draws, setting.sensitivity->seed);
}

}  // namespace lcomp
