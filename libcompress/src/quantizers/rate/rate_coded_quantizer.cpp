#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <utility>

#include "lcomp/core/eigen_view.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/value_range.h"
#include "lcomp/formats/format.h"
#include "quantizers/feedback/error_feedback.h"
#include "quantizers/method_string.h"
#include "quantizers/rate/code_rates.h"
#include "quantizers/rate/trellis_rounder.h"

namespace lcomp {
namespace {

constexpr int steps_per_octave = 4;
constexpr std::size_t chain_rows = 128;  // as many as the feedback loop takes at a time

// What a bit is worth, in squared steps: - d error / d bits where both are as of weights much wider than a step. The
// error is 1/12 for plain rounding, 0.27 for the trellis, whose states offer every second level.
float bit_price(const RateCodedOptions& options) {
  const double error = options.trellis_memory == 0 ? 1.0 / 12 : 0.27;
  return static_cast<float>(options.rate_weight * 2 * std::log(2.0) * error);
}

const CodeRates& rates_of(const Trellis& trellis) {
  static const CodeRates plain(Trellis(0)), coded(Trellis(2));
  return trellis.memory() == 0 ? plain : coded;  // all trellises offer the same levels
}

double mean_log2(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Multiplies the distances from the mean by `exponent`; returns them as they were.
std::vector<double> spread(std::vector<double>& log2_steps, double exponent) {
  const double middle = mean_log2(log2_steps);
  std::vector<double> distances;
  for (double& step : log2_steps) {
    distances.push_back(step - middle);
    step = middle + exponent * distances.back();
  }
  return distances;
}

// Logarithms rounded to quarter octaves above the least of them, in 8 bits; 63 octaves are enough for any weight.
std::vector<std::uint8_t> quantize_logarithms(const std::vector<double>& values, double least) {
  std::vector<std::uint8_t> codes(values.size());
  std::transform(values.begin(), values.end(), codes.begin(), [least](double v) {
    return static_cast<std::uint8_t>(std::clamp(std::round(steps_per_octave * (v - least)), 0.0, 255.0));
  });
  return codes;
}

}  // namespace

ImportanceOptions importance_options(const RateCodedOptions& options) {
  return {options.guided, options.embedding_weight, options.damping};
}

std::shared_ptr<const LayerImportance> find_rate_coded_importance(ConstMatrixView weight, const LayerStats& stats,
                                                                  const RateCodedOptions& options,
                                                                  const std::string& component) {
  require_finite(weight, component);
  auto importance = std::make_shared<LayerImportance>();
  if (weight.size() == 0) {
    importance->irrelevant = true;
  } else {
    *importance = find_layer_importance(weight, stats, importance_options(options), "rate", component);
  }
  return importance;
}

RateCodedProblem::RateCodedProblem(ConstMatrixView weight, const LayerStats& stats, const RateCodedOptions& options,
                                   const std::string& component)
    : RateCodedProblem(weight, find_rate_coded_importance(weight, stats, options, component), options, component) {}

RateCodedProblem::RateCodedProblem(ConstMatrixView weight, std::shared_ptr<const LayerImportance> importance,
                                   const RateCodedOptions& options, const std::string& component)
    : weight_(weight),
      options_(options),
      component_(component),
      importance_(std::move(importance)),
      irrelevant_(importance_->irrelevant),
      row_steps_(weight.rows(), 0.0),
      col_steps_(weight.cols(), 0.0) {
  if (irrelevant_) return;
  find_steps();
  find_magnitudes();
}

// Steps at precision 0.
void RateCodedProblem::find_steps() {
  const HessianFactor& factor = importance_->factor;
  for (std::size_t i = 0; i < weight_.rows(); ++i) row_steps_[i] = -0.5 * std::log2(importance_->rows[i]);
  for (std::size_t p = 0; p < weight_.cols(); ++p) {
    col_steps_[factor.order[p]] =
        -std::log2(static_cast<double>(factor.root(p, p))) - 0.5 * std::log2(importance_->unit);
  }
  row_spread_ = spread(row_steps_, options_.row_steps ? options_.row_exponent : 0);
  col_spread_ = spread(col_steps_, options_.column_steps ? options_.column_exponent : 0);
}

// The rank-one model of the weights' magnitudes, and how many there are of each magnitude.
void RateCodedProblem::find_magnitudes() {
  const std::size_t rows = weight_.rows();
  const std::size_t cols = weight_.cols();
  constexpr double least = 1.0e-30;
  const auto magnitudes_of = [this](std::size_t i) { return as_eigen(weight_.row(i)).cast<double>().array().abs(); };
  Eigen::ArrayXd col_means = Eigen::ArrayXd::Zero(static_cast<Eigen::Index>(cols));
  for (std::size_t i = 0; i < rows; ++i) col_means += magnitudes_of(i);
  col_means = (col_means / static_cast<double>(rows)).max(least);
  row_magnitudes_.resize(rows);
  col_magnitudes_.resize(cols);
  std::transform(col_means.begin(), col_means.end(), col_magnitudes_.begin(), [](double m) { return std::log2(m); });
  parallel_for(
      0, rows,
      [&](std::size_t i) { row_magnitudes_[i] = std::log2(std::max((magnitudes_of(i) / col_means).mean(), least)); },
      64);
  curve_ = RateCurve(options_.trellis_memory);
  for (std::size_t i = 0; i < rows; ++i) {
    const double row = row_magnitudes_[i] - row_steps_[i];
    for (std::size_t j = 0; j < cols; ++j) curve_.add(row + col_magnitudes_[j] - col_steps_[j]);
  }
}

std::vector<std::string> RateCodedProblem::warnings() const {
  return weight_.size() > 0 ? importance_->warnings() : std::vector<std::string>();
}

RateCodedWeight RateCodedProblem::quantize(double precision) const {
  const std::size_t rows = weight_.rows();
  const std::size_t cols = weight_.cols();
  RateCodedCodes out;
  out.rows = rows;
  out.cols = cols;
  out.steps_per_octave = steps_per_octave;
  out.trellis_memory = options_.trellis_memory;
  out.chain_rows = chain_rows;
  out.codes.assign(rows * cols, 0);
  out.row_steps.assign(rows, 0);
  out.col_steps.assign(cols, 0);
  if (irrelevant_) return encode_rate_coded(out, component_);

  const double least_row = *std::min_element(row_steps_.begin(), row_steps_.end());
  const double least_col = *std::min_element(col_steps_.begin(), col_steps_.end());
  out.row_steps = quantize_logarithms(row_steps_, least_row);
  out.col_steps = quantize_logarithms(col_steps_, least_col);
  out.base_step = static_cast<float>(std::exp2(least_row + least_col - precision));
  if (!std::isnormal(out.base_step)) {
    throw Error(
        {component_,
         fmt::format("steps of {:g} at precision {:g}", std::exp2(least_row + least_col - precision), precision),
         "steps that float32 holds", "choose a smaller or larger precision"});
  }

  // Of the steps as they are stored.
  std::vector<float> row_steps(rows), col_steps(cols), row_magnitudes(rows), col_magnitudes(cols);
  for (std::size_t i = 0; i < rows; ++i) {
    const double log2_step = static_cast<double>(out.row_steps[i]) / steps_per_octave;
    row_steps[i] = out.base_step * static_cast<float>(std::exp2(log2_step));
    row_magnitudes[i] =
        static_cast<float>(row_magnitudes_[i] - log2_step - std::log2(static_cast<double>(out.base_step)));
  }
  for (std::size_t j = 0; j < cols; ++j) {
    const double log2_step = static_cast<double>(out.col_steps[j]) / steps_per_octave;
    col_steps[j] = static_cast<float>(std::exp2(log2_step));
    col_magnitudes[j] = static_cast<float>(col_magnitudes_[j] - log2_step);
  }
  TrellisRounding rounding;
  rounding.trellis = Trellis(options_.trellis_memory);
  rounding.rates = &rates_of(rounding.trellis);
  rounding.bit_price = bit_price(options_);
  rounding.chain_rows = chain_rows;
  rounding.row_steps = row_steps;
  rounding.col_steps = col_steps;
  rounding.row_magnitudes = row_magnitudes;
  rounding.col_magnitudes = col_magnitudes;
  rounding.order = importance_->factor.order;
  rounding.codes = {out.codes.data(), rows, cols};
  round_with_feedback(
      weight_, importance_->factor, {},
      [&rounding](std::size_t first_row, std::size_t row_count) {
        return make_trellis_rounder(rounding, first_row, row_count);
      },
      component_);
  return encode_rate_coded(out, component_);
}

RateCodedWeight quantize_to_bytes(const RateCodedProblem& problem, std::uint64_t bytes, double tolerance,
                                  const std::string& component) {
  const auto most = static_cast<double>(bytes);
  const double aim = most * (1 - 0.5 * tolerance);
  double low = -RateCurve::widest_precision;  // as far as is known, fits
  double high = RateCurve::widest_precision;  // doesn't
  double precision = problem.curve().precision(8 * aim);
  std::optional<RateCodedWeight> best;
  std::uint64_t best_bytes = 0;
  constexpr double finest = 1.0e-3;  // small weights don't go more finely
  for (int attempt = 0; attempt < 24; ++attempt) {
    RateCodedWeight weight = problem.quantize(precision);
    const std::uint64_t taken = payload_bytes(CompressedWeight(weight));
    if (taken > bytes) {
      high = precision;
    } else {
      low = precision;
      if (!best || taken >= best_bytes) {
        best = std::move(weight);
        best_bytes = taken;
      }
      if (static_cast<double>(taken) >= most * (1 - tolerance) || problem.is_irrelevant()) break;
    }
    if (best && high - low < finest) break;
    const double slope = std::max(problem.curve().slope(precision), 1.0);
    precision += 8 * (aim - static_cast<double>(taken)) / slope;
    if (!(precision > low && precision < high) || attempt > 8) precision = 0.5 * (low + high);
  }
  if (best) return std::move(*best);
  throw Error({component, fmt::format("{} bytes", bytes),
               fmt::format("at least {}, with all weights zero",
                           payload_bytes(CompressedWeight(problem.quantize(-RateCurve::widest_precision)))),
               ""});
}

void check_rate_coded(const RateCodedOptions& options, const std::string& where) {
  if (options.precision && options.bits) {
    throw Error({where, "both \"precision\" and \"bits\"", "one of them", ""});
  }
  if (options.precision && !(std::abs(*options.precision) <= RateCurve::widest_precision)) {
    throw Error({where, fmt::format("precision {:g}", *options.precision), "-64 to 64", ""});
  }
  if (options.bits && !(*options.bits > 0 && *options.bits <= 16)) {
    throw Error({where, fmt::format("{:g} bits", *options.bits), "more than 0, at most 16", ""});
  }
  if (!(std::abs(options.precision_offset) <= 16)) {
    throw Error({where, fmt::format("offset {:g}", options.precision_offset), "-16 to 16", ""});
  }
  if (options.bits && options.precision_offset != 0) {
    throw Error({where, "\"offset\" beside \"bits\"", "one of them: offsets are added to precisions", ""});
  }
  if (!Trellis::has_memory(options.trellis_memory)) {
    throw Error({where, fmt::format("a trellis with a memory of {}", options.trellis_memory),
                 fmt::format("0 or 2 to {}", Trellis::max_memory), ""});
  }
  if (!(options.rate_weight >= 0 && options.rate_weight <= 10)) {
    throw Error({where, fmt::format("rate_weight {:g}", options.rate_weight), "0 to 10", ""});
  }
  for (const auto& [key, exponent] :
       {std::pair("row_exponent", options.row_exponent), std::pair("column_exponent", options.column_exponent)}) {
    if (exponent >= 0 && exponent <= largest_step_exponent) continue;
    throw Error({where, fmt::format("{} {:g}", key, exponent), fmt::format("0 to {:g}", largest_step_exponent), ""});
  }
  if (!(options.embedding_weight > 0 && options.embedding_weight <= 1000)) {
    throw Error(
        {where, fmt::format("embedding_weight {:g}", options.embedding_weight), "more than 0, at most 1000", ""});
  }
  check_damping(options, where);
  if (!(options.min_bits >= 0 && options.min_bits <= options.max_bits && options.max_bits <= 16)) {
    throw Error({where, fmt::format("min_bits {:g} and max_bits {:g}", options.min_bits, options.max_bits),
                 "0 to 16, the first not more than the second", ""});
  }
}

RateCodedQuantizer::RateCodedQuantizer(const RateCodedOptions& options) : options_(options) {
  check_rate_coded(options, "rate");
  if (!options.precision && !options.bits) {
    throw Error({"rate", "neither \"precision\" nor \"bits\"", "one of them", ""});
  }
}

QuantizedWeight RateCodedQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                             const std::string& component) const {
  const RateCodedProblem problem(weight, stats, options_, component);
  if (options_.precision || problem.is_irrelevant()) {
    return {problem.quantize(options_.precision.value_or(0) + options_.precision_offset), problem.warnings()};
  }
  const auto bytes = static_cast<std::uint64_t>(*options_.bits * static_cast<double>(weight.size()) / 8);
  return {quantize_to_bytes(problem, bytes, 0.003, component), problem.warnings()};
}

QuantizedWeight RateCodedQuantizer::quantize_without_statistics(ConstMatrixView weight,
                                                                const std::string& component) const {
  if (!options_.bits) {
    throw Error({component, "a precision, but nothing known of what errors cost", "sensitivities",
                 "calibrate with them, or ask for bits"});
  }
  Matrix identity(weight.cols(), weight.cols());
  identity.fill(0);
  for (std::size_t j = 0; j < weight.cols(); ++j) identity(j, j) = 1;
  LayerStats equal;
  equal.hessian = identity.view();
  return quantize(weight, equal, component);
}

std::optional<WeightLayout> RateCodedQuantizer::layout(std::size_t /*rows*/, std::size_t /*cols*/) const {
  return std::nullopt;
}

std::string RateCodedQuantizer::name() const { return lcomp::name(options_); }

std::string name(const RateCodedOptions& options) {
  const RateCodedOptions defaults;
  MethodString text("rate");
  if (options.precision) text.add("precision", *options.precision);
  if (options.bits) text.add("bits", *options.bits);
  if (options.precision_offset != 0) text.add("offset", options.precision_offset);
  if (!options.row_steps) text.add("rows", "false");
  if (!options.column_steps) text.add("columns", "false");
  if (!options.guided) text.flag("plain");
  if (options.trellis_memory != defaults.trellis_memory) {
    text.add("trellis", std::int64_t{options.trellis_memory});
  }
  if (options.rate_weight != defaults.rate_weight) text.add("rate_weight", options.rate_weight);
  if (options.row_exponent != defaults.row_exponent) text.add("row_exponent", options.row_exponent);
  if (options.column_exponent != defaults.column_exponent) text.add("column_exponent", options.column_exponent);
  if (options.embedding_weight != defaults.embedding_weight) text.add("embedding_weight", options.embedding_weight);
  text.add_damping(options);
  if (options.min_bits != defaults.min_bits) text.add("min_bits", options.min_bits);
  if (options.max_bits != defaults.max_bits) text.add("max_bits", options.max_bits);
  return text.text();
}

}  // namespace lcomp
