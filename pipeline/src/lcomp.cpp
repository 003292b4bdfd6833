#include "lcomp/lcomp.h"

#include <chrono>
#include <utility>

#include "lcomp/compression/model_writer.h"
#include "lcomp/eval/choice_scores.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/model_size.h"
#include "lcomp/pipeline/model_tokenizer.h"
#include "lcomp/quantizers/cost/proxy_error.h"
#include "lcomp/quantizers/cost/squared_error.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJobName = "lcomp::compress";  // in errors

nlohmann::json target_json(const TargetSize& size) {
  nlohmann::json json = nlohmann::json::object();
  if (size.ratio != 0) json["ratio"] = size.ratio;
  if (size.bits_per_weight != 0) json["bits_per_weight"] = size.bits_per_weight;
  if (size.bytes != 0) json["bytes"] = size.bytes;
  return json;
}

nlohmann::json calibration_json(const CalibrationData& calibration, bool by_sensitivity) {
  nlohmann::json files = nlohmann::json::array();
  for (const fs::path& file : calibration.files) files.push_back(file.string());
  nlohmann::json json = {{"texts", std::move(files)},
                         {"sequences", calibration.sequences},
                         {"tokens", calibration.tokens},
                         {"seed", calibration.seed}};
  if (by_sensitivity) json.update({{"order", "original"}, {"sensitivity", "divergence"}});
  return json;
}

// A batch with what an original makes of it.
class ReferenceRun {
 public:
  ReferenceRun(const fs::path& original, const ScoringBatch& batch, const EvaluateOptions& options)
      : decoder_(open_model(original), options.compute),
        states_(scored_states(decoder_, batch, forward_options(options, "original"))) {}

  ReferenceStates states() { return {&decoder_, &states_}; }

  static ForwardOptions forward_options(const EvaluateOptions& options, const std::string& label) {
    ForwardOptions forward;
    forward.progress = options.progress;
    forward.progress_label = label;
    return forward;
  }

 private:
  Decoder decoder_;
  Matrix states_;  // [scored tokens, hidden]
};

ScoringBatch batch_for(const ModelFolder& model, const TextProtocol& protocol, const EvaluateOptions& options) {
  return make_scoring_batch(protocol, *load_model_tokenizer(model), options.data);
}

}  // namespace

CompressionJob make_job(const std::string& method, const TargetSize& size, const CalibrationData& calibration) {
  nlohmann::json setting = {{"quantizer", method == "learned" ? "rate" : method}};
  if (method == "learned") setting["allocator"] = "learned";
  nlohmann::json target = target_json(size);
  if (!target.empty()) setting["target"] = std::move(target);
  const bool by_sensitivity = CompressionPlan::from_json(setting, kJobName).allocation != AllocationPolicy{};
  if (!calibration.files.empty()) setting["calibration"] = calibration_json(calibration, by_sensitivity);
  return CompressionJob::from_json(setting, kJobName, "");
}

CompressionReport compress(const fs::path& model, const std::string& method, const TargetSize& size,
                           const CalibrationData& calibration, const fs::path& out, const ProgressCallback& progress) {
  const CompressionJob job = make_job(method, size, calibration);
  JobPlaces places;
  places.out = out;
  const JobOutcome outcome = run_job(job, open_model(model), places, progress);
  outcome.unfinished.clear();
  return outcome.report;
}

TextScores evaluate(const fs::path& model, const TextProtocol& protocol, const EvaluateOptions& options) {
  Decoder decoder(open_model(model), options.compute);
  const ScoringBatch batch = batch_for(decoder.model(), protocol, options);
  std::optional<ReferenceRun> reference;
  if (!options.reference.empty()) reference.emplace(options.reference, batch, options);
  return score_texts(decoder, batch, reference ? reference->states() : ReferenceStates{},
                     ReferenceRun::forward_options(options, "model"));
}

ChoiceSummary evaluate(const fs::path& model, const ChoiceProtocol& protocol, const EvaluateOptions& options) {
  Decoder decoder(open_model(model), options.compute);
  const auto tokenizer = load_model_tokenizer(decoder.model());
  const ChoiceTask task = make_choice_task(protocol, *tokenizer, decoder.config().max_positions, options.data);
  ChoiceScoreOptions score;
  score.forward = ReferenceRun::forward_options(options, protocol.name());
  return summarize(answer_choices(decoder, task, score));
}

std::vector<ComparedModel> compare(const fs::path& original, const std::vector<fs::path>& models,
                                   const TextProtocol& protocol, const EvaluateOptions& options) {
  const ScoringBatch batch = batch_for(open_model(original), protocol, options);
  ReferenceRun reference(original, batch, options);
  std::vector<ComparedModel> compared;
  for (const fs::path& path : models) {
    Decoder decoder(open_model(path), options.compute);
    const ModelSize size = {decoder.model().parameters(), decoder.model().stored_bytes()};
    compared.push_back({path, size.bytes, size.bits_per_weight(), size.ratio(),
                        score_texts(decoder, batch, reference.states(),
                                    ReferenceRun::forward_options(options, path.filename().string()))});
  }
  return compared;
}

QuantizedTensor quantize(ConstMatrixView weight, const LayerStats& stats, const std::string& method) {
  return quantize(weight, stats, *make_quantizer(nlohmann::json(method), method));
}

QuantizedTensor quantize(ConstMatrixView weight, const LayerStats& stats, const Quantizer& quantizer,
                         const std::string& component) {
  QuantizedTensor result;
  result.method = quantizer.name();
  const auto start = std::chrono::steady_clock::now();
  QuantizedWeight made = quantizer.quantize(weight, stats, component);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.compressed = std::move(made.weight);
  result.warnings = std::move(made.warnings);
  result.decoded = decode(result.compressed);
  result.bytes = payload_bytes(result.compressed);
  result.bits_per_weight = bits_per_weight(layout(result.compressed));
  const SquaredError error = squared_error(weight, result.compressed);
  result.squared_error = error.error;
  result.relative_error = error.relative();
  if (stats.hessian.size() > 0) {
    result.proxy_error = proxy_error(weight, result.decoded.view(), stats.hessian);
  }
  return result;
}

}  // namespace lcomp
