#include "lcomp/training/projected_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <map>

#include "lcomp/compression/model_writer.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/models/model_components.h"
#include "lcomp/models/model_in_memory.h"
#include "lcomp/quantizers/banded/banded_quantizer.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "training/grid_range.h"
#include "training/learned_step.h"

namespace lcomp {
namespace {

constexpr std::string_view step_suffix = ".step";
constexpr double start_reach = 0.45;  // of a step, from the level of a code

struct Component {
  ModelComponent what;
  StepRule rule = StepRule::fitted;
  std::unique_ptr<Quantizer> quantizer;      // null where there are bands
  GroupedIntegerLayout layout;               // of given steps
  std::optional<BandedIntegerWeight> bands;  // widths and order of columns; its codes and scales are empty
  GridFit band_grid = GridFit::mse;
  CompressedWeight weight;  // of the last project()
  CompressedWeightView view;
  Matrix decoded;

  std::string step_name() const { return what.tensor + std::string(step_suffix); }
  ConstMatrixView of(const Parameters& parameters) const {
    return {parameters.values(what.tensor).data(), what.rows, what.cols};
  }
  // What `weight` stands for.
  void decode() {
    view = lcomp::view(weight);
    decoded = lcomp::decode(weight);
  }
};

// The widths of a component in the allocation.
BandedIntegerWeight bands_of(const CompressedFolder* allocation, const ModelComponent& component) {
  if (allocation == nullptr) {
    throw Error({component.name, "the method banded while training, without an \"allocation\"",
                 "a model whose widths it is to keep", "lcomp compress --method banded makes one"});
  }
  const CompressedWeightView& stored = allocation->weight(component.tensor);
  const auto* bands = std::get_if<BandedIntegerView>(&stored);
  if (bands == nullptr || bands->rows != component.rows || bands->cols != component.cols) {
    throw Error({fmt::format("{}: {}", allocation->where(), component.tensor), describe(layout(stored)),
                 fmt::format("a banded weight of {} x {}", component.rows, component.cols), ""});
  }
  BandedIntegerWeight result = empty_weight(*bands);
  result.band_bits.assign(bands->band_bits.begin(), bands->band_bits.end());
  result.permutation.assign(bands->permutation.begin(), bands->permutation.end());
  return result;
}

// A component in the model that training begins with.
GroupedIntegerView start_of(const CompressedFolder& start, const Component& component) {
  const CompressedWeightView& stored = start.weight(component.what.tensor);
  const auto* grid = std::get_if<GroupedIntegerView>(&stored);
  if (component.rule == StepRule::learned && grid != nullptr &&
      static_cast<const GroupedIntegerLayout&>(*grid) == component.layout) {
    return *grid;
  }
  throw Error(
      {fmt::format("{}: {}", start.where(), component.what.tensor), describe(layout(stored)),
       component.rule == StepRule::learned ? describe(component.layout) : "a component whose steps training learns",
       "compress the model on the grids that it is to be trained on"});
}

// The layout of symmetric uniform grids; nothing where the quantizer makes others.
std::optional<GroupedIntegerLayout> symmetric_layout(const Component& component) {
  const std::optional<WeightLayout> stored = component.quantizer->layout(component.what.rows, component.what.cols);
  const auto* grouped = stored ? std::get_if<GroupedIntegerLayout>(&*stored) : nullptr;
  if (grouped == nullptr || !grouped->symmetric || grouped->bits < 2 || grouped->permuted) return std::nullopt;
  return *grouped;
}

}  // namespace

std::string_view name(StepRule rule) {
  switch (rule) {
    case StepRule::fitted:
      return "fitted";
    case StepRule::absolute_maximum:
      return "absolute_maximum";
    case StepRule::learned:
      return "learned";
  }
  return "";
}

QuantizedTraining QuantizedTraining::from_json(const nlohmann::json& json, const std::string& where) {
  QuantizedTraining setting;
  ConfigReader reader(json, where);
  nlohmann::json plan = json;
  plan.erase("steps");
  plan.erase("clipped");
  plan.erase("allocation");
  plan.erase("start");
  for (const char* key : {"quantizer", "components", "activations"}) reader.ignore(key);
  const std::string steps = reader.one_of_or("steps", "fitted", {"fitted", "absolute_maximum", "learned"});
  for (const StepRule rule : {StepRule::fitted, StepRule::absolute_maximum, StepRule::learned}) {
    if (steps == name(rule)) setting.steps = rule;
  }
  setting.clipped = reader.boolean_or("clipped", false);
  if (reader.has("start")) {
    setting.start = reader.string("start");
    if (setting.steps != StepRule::learned) {
      throw Error({reader.where("start"), fmt::format("with \"steps\": \"{}\"", name(setting.steps)), "\"learned\"",
                   "fitted steps would leave its grids at the first update"});
    }
  }
  if (reader.has("allocation")) {
    setting.allocation = reader.string("allocation");
  }
  reader.finish();
  setting.plan = CompressionPlan::from_json(plan, where, !setting.allocation.empty());
  if (setting.plan.activations && setting.plan.activations->is_static()) {
    throw Error({reader.where("activations"), describe(*setting.plan.activations), "ranges of each token",
                 "leave out \"granularity\", or give \"token\""});
  }
  return setting;
}

nlohmann::json to_json(const QuantizedTraining& setting) {
  nlohmann::json json = to_json(setting.plan);
  json["steps"] = name(setting.steps);
  json["clipped"] = setting.clipped;
  if (!setting.allocation.empty()) json["allocation"] = setting.allocation.string();
  if (!setting.start.empty()) json["start"] = setting.start.string();
  return json;
}

struct ProjectedWeights::State {
  std::string where;
  std::optional<ActivationQuantization> activations;
  QuantizedTraining setting;
  std::vector<Component> components;
  std::map<std::string, std::size_t, std::less<>> index;  // of components, by tensor
  std::vector<TensorInfo> tensors;                        // of the model
  std::vector<TensorInfo> trained;
  std::shared_ptr<const TensorSource> original;
  std::unique_ptr<CompressedFolder> start;  // null: none
  const Parameters* parameters = nullptr;   // of the last project()

  const Component* find(std::string_view tensor) const {
    const auto found = index.find(tensor);
    return found == index.end() ? nullptr : &components[found->second];
  }
};

namespace {

std::set<std::string> all_components(const ModelFolder& model) {
  std::set<std::string> names;
  for (const ModelComponent& component : model_components(model)) names.insert(component.tensor);
  return names;
}

}  // namespace

ProjectedWeights::ProjectedWeights(const ModelFolder& model, const QuantizedTraining& setting)
    : ProjectedWeights(model, setting, all_components(model)) {}

ProjectedWeights::ProjectedWeights(const ModelFolder& model, const QuantizedTraining& setting,
                                   const std::set<std::string>& only)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.where = model.path.string();
  s.setting = setting;
  if (setting.plan.activations) s.activations = ActivationQuantization{*setting.plan.activations, {}};
  s.tensors = required_tensors(model.config_json, s.where);
  s.original = model.tensors;
  std::optional<CompressedFolder> allocation;
  if (!setting.allocation.empty()) allocation.emplace(setting.allocation);
  if (!setting.start.empty()) s.start = std::make_unique<CompressedFolder>(setting.start);
  const bool whole = only == all_components(model);
  for (const TensorInfo& info : s.tensors) {
    if (whole || only.contains(info.name)) s.trained.push_back(info);
  }
  const std::vector<ModelComponent> components = model_components(model);
  const std::vector<ComponentSetting> settings = resolve_plan(setting.plan, components);
  for (std::size_t i = 0; i < components.size(); ++i) {
    if (!settings[i].quantizer || !only.contains(components[i].tensor)) continue;
    Component component;
    component.what = components[i];
    const QuantizerSetting& quantizer = *settings[i].quantizer;
    if (const auto* banded = std::get_if<BandedOptions>(&quantizer.options)) {
      component.bands = bands_of(allocation ? &*allocation : nullptr, components[i]);
      component.band_grid = banded->grid;
    } else {
      if (is_open(quantizer)) {
        throw Error({components[i].name, "a setting that leaves its bits open", "one with \"bits\"", ""});
      }
      component.quantizer = make_quantizer(quantizer);
      if (component.quantizer->requires_statistics()) {
        throw Error({components[i].name, fmt::format("the method {} while training", component.quantizer->name()),
                     "a method that needs no calibration, such as rtn, log, nf or codebook", ""});
      }
    }
    component.decoded = Matrix(components[i].rows, components[i].cols);
    if (setting.steps != StepRule::fitted && !component.bands) {
      if (const auto layout = symmetric_layout(component)) {
        component.rule = setting.steps;
        component.layout = *layout;
      }
    }
    if (component.rule == StepRule::learned) {
      TensorInfo steps;
      steps.name = component.step_name();
      steps.shape = {group_count(component.layout)};
      s.trained.push_back(std::move(steps));
    }
    if (s.start) start_of(*s.start, component);
    s.index.emplace(components[i].tensor, s.components.size());
    s.components.push_back(std::move(component));
  }
  if (!whole) return;
  const bool given = std::ranges::any_of(s.components, [](const Component& c) { return c.rule != StepRule::fitted; });
  if (setting.steps != StepRule::fitted && !given) {
    throw Error({"qat.steps", fmt::format("\"{}\" without symmetric uniform grids", name(setting.steps)),
                 "a component with a quantizer such as rtn:bits=4,group=64,sym", "or leave the steps \"fitted\""});
  }
}

ProjectedWeights::~ProjectedWeights() = default;

const std::vector<TensorInfo>& ProjectedWeights::trained_tensors() const { return state_->trained; }

void ProjectedWeights::initialize(Parameters& parameters, bool fitted) const {
  for (const Component& component : state_->components) {
    if (component.rule != StepRule::learned) continue;
    if (state_->start) {
      const MatrixView<float> weight(parameters.values(component.what.tensor).data(), component.what.rows,
                                     component.what.cols);
      start_from(start_of(*state_->start, component), start_reach, weight, parameters.values(component.step_name()));
      continue;
    }
    if (fitted) {
      const CompressedWeight weight =
          component.quantizer->quantize_without_statistics(component.of(parameters), component.what.name).weight;
      const std::vector<float> steps = decode_scales(view(std::get<GroupedIntegerWeight>(weight)));
      std::ranges::copy(steps, parameters.values(component.step_name()).begin());
      continue;
    }
    initial_steps(component.layout, component.of(parameters), parameters.values(component.step_name()));
  }
}

void ProjectedWeights::project(const Parameters& parameters) {
  state_->parameters = &parameters;
  std::vector<float> steps;
  for (Component& component : state_->components) {
    const ConstMatrixView weight = component.of(parameters);
    switch (component.rule) {
      case StepRule::fitted:
        component.weight =
            component.bands ? round_to_bands(weight, view(*component.bands), component.band_grid, component.what.name)
                            : component.quantizer->quantize_without_statistics(weight, component.what.name).weight;
        if (state_->setting.clipped) require_clippable(layout(component.weight), component.what.name);
        break;
      case StepRule::absolute_maximum:
        steps.resize(group_count(component.layout));
        absolute_maximum_steps(component.layout, weight, steps);
        component.weight = round_to_steps(component.layout, weight, steps, component.what.name);
        break;
      case StepRule::learned:
        component.weight =
            round_to_steps(component.layout, weight, parameters.values(component.step_name()), component.what.name);
        break;
    }
    component.decode();
  }
}

void ProjectedWeights::adopt(const std::function<CompressedWeight(const std::string& tensor)>& weight_of,
                             const Parameters& parameters) {
  state_->parameters = &parameters;
  for (Component& component : state_->components) {
    component.weight = weight_of(component.what.tensor);
    component.decode();
  }
}

void ProjectedWeights::for_each(
    const std::function<void(const std::string& tensor, const CompressedWeight&)>& visit) const {
  for (const Component& component : state_->components) visit(component.what.tensor, component.weight);
}

void ProjectedWeights::pass_back(const Parameters& parameters, Parameters& gradient) const {
  for (const Component& component : state_->components) {
    const ConstMatrixView weight = component.of(parameters);
    const MatrixView<float> of_weight(gradient.values(component.what.tensor).data(), component.what.rows,
                                      component.what.cols);
    switch (component.rule) {
      case StepRule::fitted:
        if (state_->setting.clipped) clip_gradient(component.view, weight, of_weight);
        break;
      case StepRule::absolute_maximum:
        lcomp::pass_back(std::get<GroupedIntegerWeight>(component.weight), weight, state_->setting.clipped, of_weight);
        break;
      case StepRule::learned:
        pass_back_learned(std::get<GroupedIntegerWeight>(component.weight), weight, of_weight,
                          gradient.values(component.step_name()));
        break;
    }
  }
}

const std::string& ProjectedWeights::where() const { return state_->where; }
const std::vector<TensorInfo>& ProjectedWeights::tensors() const { return state_->tensors; }

void ProjectedWeights::read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                                 std::span<float> out) const {
  assert(state_->parameters != nullptr);
  const Component* component = state_->find(name);
  if (component == nullptr) {
    if (state_->parameters->find(name) == nullptr) {
      return state_->original->read_rows(name, row_begin, row_count, out);
    }
    state_->parameters->read_rows(name, row_begin, row_count, out);
    for (float& value : out) value = rounded_to(state_->setting.dense, value);
    return;
  }
  const ConstMatrixView rows = component->decoded.view().rows_range(row_begin, row_count);
  std::copy_n(rows.data(), rows.size(), out.begin());
}

const CompressedWeightView& ProjectedWeights::weight(std::string_view name) const {
  const Component* component = state_->find(name);
  if (component != nullptr) return component->view;
  throw Error({fmt::format("{}: {}", state_->where, name), "a tensor that is not quantized", "a component", ""});
}

void ProjectedWeights::update_by_sign(double rate, double step_rate, const Parameters& gradient,
                                      Parameters& parameters) const {
  for (const Component& component : state_->components) {
    const std::span<float> weight = parameters.values(component.what.tensor);
    const std::span<const float> direction = gradient.values(component.what.tensor);
    std::vector<float> steps;
    if (component.rule == StepRule::fitted) {
      double sum = 0;
      for (std::size_t i = 0; i < weight.size(); ++i) {
        const double error = static_cast<double>(weight[i]) - component.decoded.span()[i];
        sum += error * error;
      }
      steps.assign(1, static_cast<float>(std::sqrt(12 * sum / static_cast<double>(weight.size()))));
    } else {
      steps = decode_scales(view(std::get<GroupedIntegerWeight>(component.weight)));
    }
    const bool one = steps.size() == 1;
    const std::size_t cols = component.what.cols, group = one ? cols : component.layout.group_size;
    const std::size_t per_row = one ? 1 : groups_per_row(component.layout);
    const auto part = static_cast<float>(rate);
    parallel_for(
        0, component.what.rows,
        [&](std::size_t row) {
          for (std::size_t j = 0; j < cols; ++j) {
            const float g = direction[row * cols + j], step = steps[one ? 0 : row * per_row + j / group];
            if (g != 0) weight[row * cols + j] -= std::copysign(part * step, g);
          }
        },
        16);
    if (component.rule != StepRule::learned) continue;
    const std::span<float> learned = parameters.values(component.step_name());
    const std::span<const float> of_steps = gradient.values(component.step_name());
    for (std::size_t g = 0; g < learned.size(); ++g) {
      if (of_steps[g] != 0) learned[g] *= static_cast<float>(1 - std::copysign(step_rate, of_steps[g]));
    }
  }
}

void ProjectedWeights::add_to(ModelWriter& writer) const {
  for (const Component& component : state_->components) writer.add(component.what.tensor, component.weight);
}

ModelSize ProjectedWeights::write(const ModelFolder& model, const std::filesystem::path& folder,
                                  const std::filesystem::path& tokenizer_path) const {
  const State& s = *state_;
  assert(s.parameters != nullptr);
  ModelWriter writer(model, folder, true);
  add_to(writer);
  for (const TensorInfo& info : s.tensors) {
    if (s.find(info.name) != nullptr) continue;
    Matrix values(info.rows(), info.cols());
    read_rows(info.name, 0, info.rows(), values.span());
    writer.keep(info.name, values);
  }
  if (s.activations) writer.set_activations(*s.activations);
  writer.add_tokenizer(tokenizer_path);
  return writer.finish({{"training", to_json(s.setting)}});
}

}  // namespace lcomp
