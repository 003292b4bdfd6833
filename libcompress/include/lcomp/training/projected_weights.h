#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/compression/compression_plan.h"
#include "lcomp/compression/model_writer.h"
#include "lcomp/formats/compressed_weight_source.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/quantizers/quantizer.h"
#include "lcomp/training/parameters.h"

namespace lcomp {

// Where the steps of symmetric uniform grids come from.
enum class StepRule {
  fitted,            // the quantizer chooses them anew from the weights of each update
  absolute_maximum,  // max |w| / (2^(bits-1) - 1) of each update
  learned,           // parameters of their own (LSQ, arXiv 1902.08153)
};
std::string_view name(StepRule rule);

// How a model is quantized while it is trained.
//   {"quantizer": "rtn:bits=4,group=64,sym", "components": {"lm_head": "f16"}, "activations": {"bits": 8},
//    "steps": "learned", "clipped": true, "start": "runs/gptq/model", "allocation": "runs/m/model"}
// the first three as in a CompressionPlan without a target; methods that need calibration can't be used, nor fixed
// ranges of activations. steps: absolute_maximum and learned are for components of symmetric rtn; others are fitted.
// clipped: no gradient for weights that the grid cuts off. allocation: a compressed model of the same shapes; banded
// components ("quantizer": "banded") keep the widths and the order of columns that they have there, and their grids are
// fitted anew to the weights of each update. start: of learned steps, a model compressed on the same grids (the same
// bits, groups and scales), by a method such as GPTQ, whose codes and steps training begins with.
struct QuantizedTraining {
  CompressionPlan plan;
  StepRule steps = StepRule::fitted;
  bool clipped = false;
  std::filesystem::path allocation;  // empty: no banded components
  std::filesystem::path start;       // empty: the weights, and steps from them
  // What trained tensors that are no components (norms, biases) are rounded to, in the model that is seen as in the one
  // that is written; not part of the JSON.
  DenseType dense = DenseType::f32;

  // Throws Error naming the key's path under `where`.
  static QuantizedTraining from_json(const nlohmann::json& json, const std::string& where);
};
nlohmann::json to_json(const QuantizedTraining& setting);

// The weights of a model as a quantizer rounds them, while the floats that they are rounded from learn: what the
// forward and backward pass see (straight-through estimator, arXiv 1308.3432). Tensors that the plan leaves alone
// (norms, biases) are read from the parameters themselves.
//
// Learned steps: with q = round(w / s), Q = 2^(bits-1) and n weights in a group,
//   w^ = s clamp(q, -Q, Q - 1);   dw = dw^ where -Q < w/s < Q - 1, else 0
//   ds = sum of dw^ * (q - w/s inside, -Q or Q - 1 outside) / sqrt(n (Q - 1))
// at first s = 2 mean |w| / sqrt(Q - 1). What is stored is s rounded to the setting's scales.
// With a start, s is at first the start's, and w the original moved to 0.45 steps from the start's level at most: the
// codes are the start's, and those that differ from rounding stay until gradients push a weight back by a twentieth of
// a step.
class ProjectedWeights : public CompressedWeightSource {
 public:
  // Of all components, or of those whose tensors are in `only`; other tensors are then read from the model. Throws
  // Error naming the component for a method that needs calibration, a pattern that matches nothing, an open width, a
  // banded component that is not banded in the allocation, and one that has other grids in the start.
  ProjectedWeights(const ModelFolder& model, const QuantizedTraining& setting);
  ProjectedWeights(const ModelFolder& model, const QuantizedTraining& setting, const std::set<std::string>& only);
  ~ProjectedWeights() override;

  // The tensors to train: the model's, and a "TENSOR.step" [groups] for each with learned steps.
  const std::vector<TensorInfo>& trained_tensors() const;
  // What to begin with, given the original's weights in `parameters`: learned steps as above, or those that the
  // quantizer fits; with a start, weights and steps of it.
  void initialize(Parameters& parameters, bool fitted = false) const;

  // Rounds the weights in `parameters`, which must stay where they are: norms are read from there.
  void project(const Parameters& parameters);
  // Takes what the components became elsewhere, in place of a projection. `parameters` as there.
  void adopt(const std::function<CompressedWeight(const std::string& tensor)>& weight_of, const Parameters& parameters);
  // Calls visit for every component of the last project().
  void for_each(const std::function<void(const std::string& tensor, const CompressedWeight&)>& visit) const;
  // From the gradient with respect to the rounded weights of the last project() to that of the parameters, in place.
  void pass_back(const Parameters& parameters, Parameters& gradient) const;

  // An update by the signs of the gradient (AutoRound, arXiv 2309.05516), after pass_back(): a weight moves by `rate`
  // of its grid's step, which is what its rounding offset moves by (of fitted grids: of sqrt(12) times the root mean
  // square error of the component), a learned step by step_rate of itself.
  void update_by_sign(double rate, double step_rate, const Parameters& gradient, Parameters& parameters) const;

  // Of the last project(). weight(): components only.
  const std::string& where() const override;
  const std::vector<TensorInfo>& tensors() const override;
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override;
  const CompressedWeightView& weight(std::string_view name) const override;

  // Adds the components to a compressed model, as they are.
  void add_to(ModelWriter& writer) const;
  // Writes them as a compressed folder (replacing it): the same bits that weight() and read_rows() give. model: the one
  // that these are the weights of; tokenizer_path: a folder or file whose tokenizer it gets.
  ModelSize write(const ModelFolder& model, const std::filesystem::path& folder,
                  const std::filesystem::path& tokenizer_path) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcomp
