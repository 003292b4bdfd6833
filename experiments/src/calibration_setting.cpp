#include "calibration_setting.h"

#include <limits>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/core/error.h"
#include "lcomp/eval/texts.h"
#include "lcomp/io/config_reader.h"
#include "model_tokenizer.h"

namespace lcomp {
namespace {

std::vector<std::filesystem::path> read_files(ConfigReader& reader, const std::string& data) {
  if (reader.any("texts").is_string()) {
    reader.one_of("texts", {"c4"});
    return {c4_training(data_folder(data))};
  }
  std::vector<std::filesystem::path> files;
  for (const std::string& file : reader.strings("texts")) files.emplace_back(file);
  return files;
}

}  // namespace

CalibrationSetting CalibrationSetting::from_json(const nlohmann::json& json, const std::string& where,
                                                 const std::string& data) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  ConfigReader reader(json, where);
  CalibrationSetting setting;
  setting.texts.files = read_files(reader, data);
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

std::unique_ptr<StatisticsProvider> make_statistics(const CalibrationSetting& setting, const CalibrationTexts& texts,
                                                    const ModelFolder& model, ComputeType compute,
                                                    const StatisticsPlaces& places, const ProgressCallback& progress) {
  CalibrationOptions options;
  options.memory_limit = setting.memory;
  options.progress = progress;
  if (setting.order != CalibrationSetting::Order::original) {
    const BlockOrder order =
        setting.order == CalibrationSetting::Order::stage ? BlockOrder::by_stage : BlockOrder::whole_block;
    return sequential_statistics(model, texts, order, options, compute, places.work);
  }
  Decoder decoder(model, compute);
  CalibrationArchive archive = calibrate(decoder, texts.batch, places.archive, options);
  if (!setting.sensitivity) return archived_statistics(model, std::move(archive));
  SensitivityOptions sensitivity = *setting.sensitivity;
  sensitivity.memory_limit = setting.memory;
  sensitivity.progress = progress;
  add_sensitivities(decoder, texts.batch, places.archive, sensitivity);
  return archived_statistics(model, CalibrationArchive::open(places.archive), sensitivity.cost);
}

}  // namespace lcomp
