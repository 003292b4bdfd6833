#include "runner/time_estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "lcomp/compression/compression_plan.h"
#include "lcomp/core/progress.h"
#include "lcomp/models/model_components.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

template <typename Work>
double seconds(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TokenBatch batch_of(std::size_t tokens, std::size_t vocab) {
  TokenBatch batch;
  std::vector<std::int32_t> ids(tokens);
  for (std::size_t i = 0; i < tokens; ++i) ids[i] = static_cast<std::int32_t>((i * 7919) % vocab);
  batch.add(ids);
  return batch;
}

// cost(n) = fixed + slope n through two measurements; none negative.
struct Line {
  double fixed = 0, slope = 0;
};
Line through(double x1, double y1, double x2, double y2) {
  Line line;
  line.slope = std::max(0.0, (y2 - y1) / (x2 - x1));
  line.fixed = std::max(0.0, y1 - line.slope * x1);
  return line;
}

// Bits per weight of a size, for settings that leave them open.
int bits_of(const ExperimentSize& size, double parameters) {
  const nlohmann::json& json = size.json;
  double bits = 4;
  if (json.contains("bits")) bits = json.at("bits").get<double>();
  if (json.contains("ratio")) bits = 16 / json.at("ratio").get<double>();
  if (json.contains("bits_per_weight")) bits = json.at("bits_per_weight").get<double>();
  if (json.contains("bytes")) bits = 8 * json.at("bytes").get<double>() / parameters;
  return std::clamp(static_cast<int>(bits), 1, 8);
}

}  // namespace

TimeEstimate::TimeEstimate(Decoder& original) : original_(original) {
  constexpr std::size_t few = 32, more = 128, rows = 16;
  const auto block = [&](std::size_t tokens) {
    const TokenBatch batch = batch_of(tokens, original.config().vocab_size);
    Matrix states = original.embed(batch);
    return seconds([&] { original.run_block(0, batch, states.view()); });
  };
  block(few);  // pages of the checkpoint
  const Line line = through(few, block(few), more, block(more));
  block_fixed_ = line.fixed;
  block_token_ = line.slope;
  Matrix states(rows, original.config().hidden_size);
  states.fill(0.5f);
  Matrix logits(rows, original.config().vocab_size);
  original.logits(states.view(), logits.view());  // decodes the head
  head_row_ = seconds([&] { original.logits(states.view(), logits.view()); }) / rows;
}

double TimeEstimate::forward(std::size_t tokens, std::size_t passes, std::size_t scored) const {
  const auto layers = static_cast<double>(original_.config().num_layers());
  return layers * (block_fixed_ * static_cast<double>(passes) + block_token_ * static_cast<double>(tokens)) +
         head_row_ * static_cast<double>(scored);
}

double TimeEstimate::calibration(std::size_t tokens) const {
  // Products with 2 in^2 a token for a Hessian, where the forward pass has 2 in * out: at the same rate.
  double hessians = 0, weights = 0;
  for (const ModelComponent& component : model_components(original_.model())) {
    if (component.kind != ComponentKind::linear) continue;
    hessians += static_cast<double>(component.cols) * static_cast<double>(component.cols) * 4 / 7;  // inputs are shared
    weights += static_cast<double>(component.parameters());
  }
  return forward(tokens, 1, 0) * (1 + hessians / std::max(1.0, weights));
}

double TimeEstimate::compression(const ExperimentMethod& method, const ExperimentSize& size) const {
  const ModelFolder& model = original_.model();
  QuantizerSetting setting = parse_quantizer_setting(method.setting.at("quantizer"), method.name);
  if (is_open(setting)) setting = with_bits(setting, bits_of(size, static_cast<double>(model.parameters())));
  const auto quantizer = make_quantizer(setting);
  const bool with_statistics = quantizer->uses_statistics();
  std::vector<ModelComponent> components = model_components(model);
  const auto sample = std::find_if(components.begin(), components.end(), [](const ModelComponent& component) {
    return component.kind == ComponentKind::linear;
  });
  if (sample == components.end()) return 0;

  const std::size_t cols = sample->cols, many = std::min<std::size_t>(sample->rows, 64),
                    few = std::max<std::size_t>(1, many / 4);
  Matrix weight(many, cols);
  model.tensors->read_rows(sample->tensor, 0, many, weight.span());
  Matrix hessian(cols, cols);
  hessian.fill(0.1f);
  for (std::size_t i = 0; i < cols; ++i) hessian(i, i) = 1;
  const std::vector<float> ones(cols, 1.0f);
  LayerStats stats;
  stats.hessian = hessian.view();
  stats.tokens = 1;
  stats.mean = ones;
  stats.absolute_maximum = ones;
  const auto measure = [&](std::size_t rows) {
    const ConstMatrixView part = std::as_const(weight).view().rows_range(0, rows);
    return seconds([&] {
      if (with_statistics) {
        quantizer->quantize(part, stats, sample->name);
      } else {
        quantizer->quantize_without_statistics(part, sample->name);
      }
    });
  };
  measure(few);
  const Line line = few == many
                        ? Line{0, measure(many) / static_cast<double>(many)}
                        : through(static_cast<double>(few), measure(few), static_cast<double>(many), measure(many));
  const double plain = seconds([&] { quantizer->quantize_without_statistics(weight.view(), sample->name); }) /
                       static_cast<double>(many * cols);
  // Feedback over the columns costs their square a row, factors of the Hessian their cube.
  double total = 0;
  for (const ModelComponent& component : components) {
    const double wider = static_cast<double>(component.cols) / static_cast<double>(cols);
    const bool lookup = component.kind == ComponentKind::embedding && !model.config.tied_head;  // no Hessian
    const double row = line.slope * (with_statistics && !lookup ? wider * wider : wider);
    total += row * static_cast<double>(component.rows) +
             (with_statistics && !lookup ? line.fixed * wider * wider * wider : 0);
    // A target's widths are found by rounding at several of them.
    if (!size.json.contains("bits")) total += 2 * plain * static_cast<double>(component.parameters());
  }
  return total;
}

double TimeEstimate::job(const CompressionJob& job, double once, bool learned) const {
  double seconds = (1 + job.recalibrations) * once;
  if (job.learns() && !learned) {
    const std::size_t training = job.learning->training_tokens(), held_out = job.learning->held_out_tokens();
    seconds += forward(training + held_out, 1, training + held_out);  // the original
    seconds += job.learning->rounds * (once + forward(held_out, 1, held_out) + gradients(training));
  }
  if (job.tuning) {
    const TuningSetting& setting = *job.tuning;
    const std::size_t training = setting.texts.training_tokens(), held_out = setting.texts.held_out_tokens();
    seconds += forward(training + held_out, 1, training + held_out);
    seconds += setting.steps * gradients(setting.sequences_per_step * setting.texts.tokens_each());
    seconds += (1 + setting.steps / TuningOptions().evaluate_every) * forward(held_out, 1, held_out);
    if (job.plan.target) seconds += once;  // to fill the target
  }
  return seconds;
}

std::string rough_duration(double seconds) {
  if (seconds < 100) return fmt::format("about {:.0f} s", std::max(1.0, seconds));
  const auto minutes = static_cast<long>(std::lround(seconds / 60));
  if (minutes < 100) return fmt::format("about {} min", minutes);
  return fmt::format("about {} h {} min", minutes / 60, minutes % 60 / 10 * 10);
}

}  // namespace lcomp
