#include "compression/component_writer.h"

#include <utility>

#include "lcomp/formats/format.h"

namespace lcomp {

ComponentWriter::ComponentWriter(const PlannedModel& planned, const std::filesystem::path& out,
                                 const CompressOptions& options)
    : planned_(planned), options_(options), writer_(planned.model, out, options.replace) {
  if (planned.plan.activations) activations_.setting = *planned.plan.activations;
  report_.components.resize(planned.components.size());
}

void ComponentWriter::add(std::size_t component, const CompressedComponent& compressed) {
  const ModelComponent& what = planned_.components[component];
  const FinishedComponent& finished = compressed.finished;
  if (finished.input) activations_.inputs.emplace(what.tensor, *finished.input);
  writer_.add(what.tensor, finished.weight);

  const InputFolding& folding = planned_.folding;
  const WeightLayout shape = layout(finished.weight);
  ComponentReport& line = report_.components[component];
  line.name = what.name;
  line.kind = what.kind;
  line.format = describe(shape);
  line.quantizer = compressed.quantizer.empty() ? line.format : compressed.quantizer;
  if (folding.scales_input(component)) line.quantizer = name(folding.options(component)) + "+" + line.quantizer;
  line.parameters = what.parameters();
  line.bytes = payload_bytes(shape);
  line.bits_per_weight = bits_per_weight(shape);
  line.relative_error = finished.relative_error;
  line.bits_slope = compressed.bits_slope;
  line.warnings = finished.warnings;
}

CompressionReport ComponentWriter::finish() {
  for (const std::string& tensor : uncompressed_tensors(planned_.model)) {
    report_.kept_parameters += planned_.model.tensors->info(tensor).elements();
    report_.kept_bytes += writer_.keep(tensor, planned_.folding.model().tensors->read(tensor));
  }
  writer_.add_tokenizer(planned_.model.path);
  if (planned_.plan.activations) report_.activation_bytes = writer_.set_activations(activations_);
  nlohmann::json description = {{"plan", to_json(planned_.plan)}};
  if (const auto statistics = in_order(options_.statistics)) description["calibration"] = statistics->description();
  description.update(options_.record);
  report_.set_size(writer_.finish(description));
  return std::move(report_);
}

}  // namespace lcomp
