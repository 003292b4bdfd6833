#include "compression/rate_allocation.h"

#include <fmt/format.h>

#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

// Logarithms of steps and magnitudes and the index of blocks: about a byte and a half for each row and column.
std::uint64_t expected_side_bytes(const ModelComponent& component) {
  return 3 * (std::uint64_t{component.rows} + component.cols) / 2 + 64;
}

RateCodedWeight made(const RateCodedProblem& problem, const RateBudget::Order& order, const std::string& name) {
  return order.bytes ? quantize_to_bytes(problem, *order.bytes, order.tolerance, name)
                     : problem.quantize(*order.precision);
}

}  // namespace

RateAllocation::RateAllocation(const std::vector<ModelComponent>& components,
                               const std::vector<ComponentSetting>& settings, const std::string& allocator,
                               std::uint64_t budget, RandomAccessStatistics& statistics, const TensorSource& tensors,
                               const ProgressCallback& progress_callback) {
  std::uint64_t weights = 0;
  for (std::size_t i = 0; i < components.size(); ++i) {
    if (!settings[i].open_precision) continue;
    places_.emplace(i, places_.size());
    weights += components[i].parameters();
  }
  const bool one_price = allocator == "across" || allocator == "second_order";
  const bool within = allocator == "within" || allocator == "second_order";
  Progress progress(progress_callback, "measuring components", weights);
  for (const auto& entry : places_) {
    const std::size_t i = entry.first;
    const ModelComponent& component = components[i];
    RateCodedOptions options = std::get<RateCodedOptions>(settings[i].quantizer->options);
    if (!within) options.row_steps = options.column_steps = false;
    options.precision = 0;  // what the budget says is added
    const std::shared_ptr<const LayerStats> known = statistics.statistics(component);
    if (one_price && (known == nullptr || known->sensitivity == nullptr)) {
      throw Error({component.name, "no sensitivity: how much the cost depends on it",
                   "that of every component, for allocator " + allocator,
                   "lcomp calibrate --sensitivity divergence gathers them"});
    }
    const Matrix weight = tensors.read(component.tensor);
    RateBudgetComponent line;
    line.kind = component.kind == ComponentKind::linear ? 0 : 1;
    line.weights = component.parameters();
    line.side_bytes = expected_side_bytes(component);
    line.precision_offset = options.precision_offset;
    line.min_bits = options.min_bits;
    line.max_bits = options.max_bits;
    line.curve =
        RateCodedProblem(weight.view(), known != nullptr ? *known : LayerStats{}, options, component.name).curve();
    budgeted_.push_back(std::move(line));
    options_.push_back(options);
    progress.advance(component.parameters());
  }
  budget_.emplace(one_price ? RateSharing::equal_price : RateSharing::equal_bits, budget, budgeted_);
}

double RateAllocation::bits_slope(std::size_t component, std::uint64_t bytes) const {
  const RateBudgetComponent& line = budgeted_[places_.at(component)];
  if (line.curve.weights() == 0) return 0;
  const double bits = 8 * (static_cast<double>(bytes) - static_cast<double>(line.side_bytes));
  return bits > 0 ? line.curve.slope(line.curve.precision(bits)) : 0;
}

RateAllocation::Result RateAllocation::compress(std::size_t component, ConstMatrixView weight, const LayerStats& stats,
                                                const std::string& name) {
  const std::size_t place = places_.at(component);
  const RateCodedProblem problem(weight, stats, options_[place], name);
  RateBudget::Order order = budget_->order(place);
  RateCodedWeight made_weight = made(problem, order, name);
  Result result;
  const std::uint64_t bytes = payload_bytes(CompressedWeightView(view(made_weight)));
  if (budget_->took(place, bytes, order.precision, true)) {
    result.first_attempt = bytes;
    order = budget_->order(place);
    made_weight = made(problem, order, name);
    budget_->took(place, payload_bytes(CompressedWeightView(view(made_weight))), order.precision, false);
  }
  result.weight = std::move(made_weight);
  return result;
}

void RateAllocation::taken_before(std::size_t component, std::uint64_t bytes,
                                  std::optional<std::uint64_t> first_attempt) {
  const std::size_t place = places_.at(component);
  if (first_attempt) {
    budget_->took(place, *first_attempt, budget_->order(place).precision, true);
    budget_->took(place, bytes, budget_->order(place).precision, false);
  } else {
    budget_->took(place, bytes, budget_->order(place).precision, true);
  }
}

}  // namespace lcomp
