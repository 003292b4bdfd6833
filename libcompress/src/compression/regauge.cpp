#include "compression/regauge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"

namespace lcomp {
namespace {

constexpr double kScaleDeviation = 0.25;  // of the logarithm

using Factors = std::shared_ptr<const std::vector<double>>;

std::vector<double> random_scales(Rng rng, std::size_t count) {
  std::vector<double> scales(count);
  for (double& scale : scales) scale = std::exp(kScaleDeviation * rng.normal());
  return scales;
}

std::vector<double> inverse(std::vector<double> scales) {
  for (double& scale : scales) scale = 1 / scale;
  return scales;
}

// Collects the changes of a model. Several changes of one slice (a gain into its columns, scales of its rows) are one
// TensorChange.
class Planner {
 public:
  explicit Planner(const ModelFolder& model) : model_(model), config_(model.config) {}

  void fold_norms() {
    if (config_.norm == NormKind::layer) refuse("folding the norms", "LayerNorm, which has a bias besides its gain");
    for (const BlockSlices& block : model_.slices.blocks) {
      const Factors input_gain = take_gain(block.input_norm);
      for (const auto* linear : {&block.query, &block.key, &block.value}) scale_columns(*linear, input_gain);
      const Factors mlp_gain = config_.parallel_block ? input_gain : take_gain(block.pre_mlp_norm);
      scale_columns(block.mlp.gate, mlp_gain);
      scale_columns(block.mlp.up, mlp_gain);
      scale_columns(block.router, mlp_gain);
      for (const MlpSlices& expert : block.experts) {
        scale_columns(expert.gate, mlp_gain);
        scale_columns(expert.up, mlp_gain);
      }
    }
    if (!config_.tied_head) scale_columns(model_.slices.head, take_gain(model_.slices.final_norm));
  }

  void regauge(std::uint64_t seed) {
    if (!config_.gated_mlp)
      refuse("changing the gauge", "an MLP without gate, whose activation lies between up and down");
    if (config_.query_key_norm)
      refuse("changing the gauge", "norms of single heads, whose gains a rotation does not pass");
    const Rng rng(seed);
    for (std::size_t layer = 0; layer < model_.slices.blocks.size(); ++layer) {
      const BlockSlices& block = model_.slices.blocks[layer];
      const Rng of_layer = rng.split(layer);
      scale_values(block, of_layer.split("value channels"));
      rotate(block, config_.ropes[config_.layers[layer].rope].rotary_dim, of_layer.split("rotary pairs"));
      const Rng hidden = of_layer.split("mlp channels");
      if (block.experts.empty()) scale_hidden(block.mlp, hidden);
      for (std::size_t e = 0; e < block.experts.size(); ++e) scale_hidden(block.experts[e], hidden.split(e));
    }
  }

  TensorChanges take() {
    for (auto& [name, changes] : changes_) {
      std::sort(changes.begin(), changes.end(),
                [](const TensorChange& a, const TensorChange& b) { return a.row_begin < b.row_begin; });
    }
    return std::move(changes_);
  }

 private:
  [[noreturn]] void refuse(const std::string& action, const std::string& found) const {
    throw Error({model_.path.string(), fmt::format("{} of a {} model: it has {}", action, config_.family, found),
                 "a change that keeps the model's function", "convert without this change"});
  }

  TensorChange& change_of(const TensorSlice& slice) {
    std::vector<TensorChange>& changes = changes_[slice.tensor];
    for (TensorChange& change : changes) {
      if (change.row_begin == slice.row_begin) return change;
    }
    TensorChange& change = changes.emplace_back();
    change.row_begin = slice.row_begin;
    change.rows = slice.rows;
    return change;
  }

  // What a norm multiplies by; the stored gain becomes that of a norm that multiplies by 1.
  Factors take_gain(const NormSlices& norm) {
    const bool plus_one = config_.norm == NormKind::rms_plus_one;
    const Matrix stored = model_.tensors->read(norm.gain.tensor);
    auto gain = std::make_shared<std::vector<double>>(stored.size());
    std::transform(stored.span().begin(), stored.span().end(), gain->begin(),
                   [&](float value) { return static_cast<double>(value) + (plus_one ? 1 : 0); });
    change_of(norm.gain).constant = plus_one ? 0 : 1;
    return gain;
  }

  void scale_columns(const LinearSlices& linear, const Factors& factors) {
    if (linear.weight.tensor.empty()) return;
    assert(factors->size() == linear.weight.cols);
    TensorChange& change = change_of(linear.weight);
    assert(change.column_factors == nullptr);
    change.column_factors = factors;
  }

  void scale_rows(const LinearSlices& linear, const std::vector<double>& factors) {
    assert(factors.size() == linear.weight.rows);
    change_of(linear.weight).row_factors = factors;
    if (!linear.bias.tensor.empty()) change_of(linear.bias).row_factors = factors;
  }

  void scale_values(const BlockSlices& block, Rng rng) {
    const std::size_t head_dim = config_.head_dim;
    const std::size_t group = config_.num_attention_heads / config_.num_key_value_heads;
    const std::vector<double> scales = random_scales(rng, config_.key_value_size());
    scale_rows(block.value, scales);
    auto columns = std::make_shared<std::vector<double>>(config_.query_size());
    for (std::size_t i = 0; i < columns->size(); ++i) {
      const std::size_t key_value_head = i / head_dim / group;
      (*columns)[i] = 1 / scales[key_value_head * head_dim + i % head_dim];
    }
    scale_columns(block.output, columns);
  }

  void scale_hidden(const MlpSlices& mlp, Rng rng) {
    const std::vector<double> scales = random_scales(rng, mlp.up.weight.rows);
    scale_rows(mlp.up, scales);
    scale_columns(mlp.down, std::make_shared<const std::vector<double>>(inverse(scales)));
  }

  void rotate(const BlockSlices& block, std::size_t rotary_dim, Rng rng) {
    std::vector<double> angles(config_.num_key_value_heads * (rotary_dim / 2));
    for (double& angle : angles) angle = rng.uniform(0, 2 * std::numbers::pi);
    const std::size_t group = config_.num_attention_heads / config_.num_key_value_heads;
    for (const auto& [linear, heads_per_angle] :
         {std::pair{&block.query, group}, std::pair{&block.key, std::size_t{1}}}) {
      for (const auto* slice : {&linear->weight, &linear->bias}) {
        if (slice->tensor.empty()) continue;
        TensorChange& change = change_of(*slice);
        change.head_dim = config_.head_dim;
        change.rotary_dim = rotary_dim;
        change.heads_per_angle = heads_per_angle;
        change.angles = angles;
      }
    }
  }

  const ModelFolder& model_;
  const DecoderConfig& config_;
  TensorChanges changes_;
};

void rotate_head(const TensorChange& change, std::size_t head, std::size_t cols, std::span<double> values) {
  const std::size_t half = change.rotary_dim / 2;
  const double* angles = change.angles.data() + head / change.heads_per_angle * half;
  for (std::size_t i = 0; i < half; ++i) {
    const double c = std::cos(angles[i]);
    const double s = std::sin(angles[i]);
    for (std::size_t j = 0; j < cols; ++j) {
      double& x = values[i * cols + j];
      double& y = values[(i + half) * cols + j];
      const double turned = c * x - s * y;
      y = s * x + c * y;
      x = turned;
    }
  }
}

}  // namespace

TensorChanges plan_changes(const ModelFolder& model, bool fold_norms, std::optional<std::uint64_t> regauge_seed) {
  Planner planner(model);
  if (fold_norms || regauge_seed) planner.fold_norms();
  if (regauge_seed) planner.regauge(*regauge_seed);
  return planner.take();
}

void apply_change(const TensorChange& change, std::size_t first_row, std::size_t cols, std::span<double> values) {
  const std::size_t rows = values.size() / cols;
  assert(first_row >= change.row_begin && first_row + rows <= change.row_begin + change.rows);
  if (change.constant) {
    std::fill(values.begin(), values.end(), *change.constant);
    return;
  }
  const std::size_t begin = first_row - change.row_begin;
  for (std::size_t i = 0; i < rows; ++i) {
    const double row_factor = change.row_factors.empty() ? 1 : change.row_factors[begin + i];
    for (std::size_t j = 0; j < cols; ++j) {
      values[i * cols + j] *= row_factor * (change.column_factors == nullptr ? 1 : (*change.column_factors)[j]);
    }
  }
  if (change.head_dim == 0) return;
  assert(begin % change.head_dim == 0 && rows % change.head_dim == 0);
  for (std::size_t i = 0; i < rows; i += change.head_dim) {
    rotate_head(change, (begin + i) / change.head_dim, cols, values.subspan(i * cols, change.head_dim * cols));
  }
}

}  // namespace lcomp
