#include <fmt/format.h>

#include <memory>

#include "commands/calibration_option.h"
#include "commands/command_context.h"
#include "commands/compute_option.h"
#include "commands/stage_report.h"
#include "lcomp/calibration/calibrate.h"
#include "lcomp/calibration/sensitivity.h"

namespace lcomp {
namespace {

struct CalibrateCommand {
  std::string model;
  std::string out;
  ComputeType compute = ComputeType::float32;
  CalibrationOption calibration;
  std::string sensitivity;  // empty: none
  SensitivityOptions sensitivity_options;
};

SensitivityOptions sensitivity_options(const CalibrateCommand& command, const CommandContext& context) {
  SensitivityOptions options = command.sensitivity_options;
  options.cost = command.sensitivity == "divergence" ? SensitivityCost::divergence : SensitivityCost::cross_entropy;
  options.progress = context.progress();
  return options;
}

void run(const CalibrateCommand& command, const CommandContext& context) {
  const CalibrationSetting setting = command.calibration.setting(context.data);
  const ModelFolder model = open_model(command.model);
  const CalibrationTexts texts = calibration_texts(setting, model);
  Decoder decoder(model, command.compute);
  CalibrationOptions options;
  options.memory_limit = setting.memory;
  options.progress = context.progress();
  const CalibrationArchive archive = calibrate(decoder, texts.batch, command.out, options);
  nlohmann::json json = {{"out", command.out},
                         {"tokens", archive.tokens()},
                         {"texts", texts.description},
                         {"components", archive.components()}};
  std::string text = fmt::format("{}: statistics of {} linears from {} tokens ({})\n", command.out,
                                 archive.components().size(), archive.tokens(), texts.description);
  if (!command.sensitivity.empty()) {
    add_sensitivities(decoder, texts.batch, command.out, sensitivity_options(command, context));
    json["sensitivity"] = command.sensitivity;
    text += fmt::format("{}: sensitivities ({}) of their outputs and weights\n", command.out, command.sensitivity);
  }
  text += add_stage_times(json);
  context.print(json, text);
}

}  // namespace

void add_calibrate_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<CalibrateCommand>();
  Command& command = add_command(
      line, context, "calibrate", "Gather statistics of every linear's input for methods that use them",
      {"lcomp calibrate models/smollm2 --texts c4 --sequences 64 --tokens 512 --out out/statistics",
       "lcomp calibrate models/smollm2 --texts c4 --sequences 32 --tokens 512 --sensitivity divergence --out "
       "out/statistics",
       "lcomp compress models/smollm2 --method gptq:bits=4,group=128 --statistics out/statistics --out out/gptq4"});
  command.argument("MODEL", options->model, "the original: model folder or GGUF file");
  command.option("--out FOLDER", options->out, "folder of the archive; an unfinished one is continued").required();
  options->calibration.add_to(command, context, false);
  command
      .option("--sensitivity", options->sensitivity,
              "also how much a cost depends on each linear, by a backward pass: divergence from the model itself, or "
              "cross_entropy on the texts")
      .one_of({"divergence", "cross_entropy"});
  SensitivityOptions& sensitivity = options->sensitivity_options;
  command.option("--row-groups N", sensitivity.row_groups, "guided Hessians of each linear").between(1, 1024);
  command.option("--draws N", sensitivity.draws, "draws of labels for divergence").between(1, 1024);
  add_compute_option(command, options->compute);
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
