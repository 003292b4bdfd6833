#include <utility>

#include "lcomp/compression/model_writer.h"
#include "lcomp/compression/statistics_source.h"
#include "lcomp/formats/format.h"
#include "lcomp/lcomp.h"
#include "lcomp/models/model_components.h"
#include "lcomp/quantizers/cost/squared_error.h"

namespace lcomp {
namespace {

// One compression by a quantizer that isn't in the library's table.
class OwnCompression {
 public:
  OwnCompression(const ModelFolder& model, const Quantizer& quantizer, std::shared_ptr<SequentialStatistics> statistics)
      : model_(model), quantizer_(quantizer), statistics_(std::move(statistics)) {}

  CompressionReport run(const std::filesystem::path& out, const ProgressCallback& callback) {
    ModelWriter writer(model_, out, false);
    const std::vector<ModelComponent> components = model_components(model_);
    report_.parameters = model_.parameters();
    report_.components.resize(components.size());
    Progress progress(callback, "compressing", components.size());
    for (const std::size_t i : order(components)) {
      add(components[i], report_.components[i], writer);
      progress.advance();
    }
    for (const std::string& tensor : uncompressed_tensors(model_)) {
      report_.kept_parameters += model_.tensors->info(tensor).elements();
      report_.kept_bytes += writer.keep(tensor, model_.tensors->read(tensor));
    }
    writer.add_tokenizer(model_.path);
    nlohmann::json description = {{"quantizer", quantizer_.name()}};
    if (statistics_ != nullptr) description["calibration"] = statistics_->description();
    report_.set_size(writer.finish(description));
    return std::move(report_);
  }

 private:
  std::vector<std::size_t> order(const std::vector<ModelComponent>& components) const {
    if (statistics_ != nullptr) return statistics_->order(components);
    std::vector<std::size_t> indices(components.size());
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = i;
    return indices;
  }

  QuantizedWeight quantize(const ModelComponent& component, const Matrix& weight) {
    if (!quantizer_.uses_statistics()) return quantizer_.quantize(weight.view(), {}, component.name);
    const auto known = statistics_ != nullptr ? statistics_->statistics(component) : nullptr;
    if (known == nullptr) return quantizer_.quantize_without_statistics(weight.view(), component.name);
    return quantizer_.quantize(weight.view(), *known, component.name);
  }

  void add(const ModelComponent& component, ComponentReport& line, ModelWriter& writer) {
    const Matrix weight = model_.tensors->read(component.tensor);
    line.name = component.name;
    line.kind = component.kind;
    line.parameters = component.parameters();
    if (component.kind == ComponentKind::router) {
      line.bytes = writer.keep(component.tensor, weight);
      line.quantizer = line.format = "kept";
      line.bits_per_weight = ModelSize{line.parameters, line.bytes}.bits_per_weight();
      return;
    }
    const QuantizedWeight made = quantize(component, weight);
    writer.add(component.tensor, made.weight);
    if (statistics_ != nullptr) statistics_->compressed(component, made.weight);
    const WeightLayout shape = layout(made.weight);
    line.quantizer = quantizer_.name();
    line.format = describe(shape);
    line.bytes = payload_bytes(shape);
    line.bits_per_weight = bits_per_weight(shape);
    line.relative_error = squared_error(weight.view(), made.weight).relative();
    line.warnings = made.warnings;
  }

  const ModelFolder& model_;
  const Quantizer& quantizer_;
  std::shared_ptr<SequentialStatistics> statistics_;  // null: there are none
  CompressionReport report_;
};

}  // namespace

CompressionReport compress(const std::filesystem::path& model, const std::shared_ptr<const Quantizer>& quantizer,
                           const CalibrationData& calibration, const std::filesystem::path& out,
                           const ProgressCallback& progress) {
  const ModelFolder folder = open_model(model);
  if (quantizer->requires_statistics() && calibration.files.empty()) {
    throw Error({quantizer->name(), "no calibration data", "text files, for a quantizer that requires statistics", ""});
  }
  std::shared_ptr<SequentialStatistics> statistics;
  if (quantizer->uses_statistics() && !calibration.files.empty()) {
    CalibrationSetting setting;  // on the outputs of compressed blocks
    setting.texts.files = calibration.files;
    setting.texts.sequences = calibration.sequences;
    setting.texts.tokens = calibration.tokens;
    setting.texts.seed = calibration.seed;
    statistics = in_order(
        make_statistics(setting, calibration_texts(setting, folder), folder, ComputeType::float32, {}, progress));
  }
  return OwnCompression(folder, *quantizer, std::move(statistics)).run(out, progress);
}

}  // namespace lcomp
