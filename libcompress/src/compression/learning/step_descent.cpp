#include "compression/learning/step_descent.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lcomp {
namespace {

constexpr double least_relative_cost = 0.1;  // per bit, of the mean: a negative or tiny one is mostly noise
constexpr double longest_step = 0.7;         // octaves of steps, before the rate
constexpr double longest_exponent_step = 0.25;

// What components have in common that stand at the same place in different layers: the name without numbers.
std::string place_of(const std::string& component) {
  std::string place;
  for (const char c : component) {
    if (c < '0' || c > '9') place += c;
  }
  return place;
}

// The change of an exponent at which, to second order, bits of all rows (or columns) buy the same; errors are as the
// square of steps. Components at the same place have one exponent.
struct ExponentStep {
  double imbalance = 0, curvature = 0;

  void add(const StepDerivatives::Spread& spread, double cost) {
    imbalance += spread.imbalance;
    curvature += 2 * std::numbers::ln2 * std::max(cost, 0.0) * spread.variance;
  }
  double change(double rate) const {
    if (!(curvature > 0)) return 0;
    return std::clamp(-rate * imbalance / curvature, -longest_exponent_step, longest_exponent_step);
  }
};

// The mean over the parts of the training set, and how certain it is.
struct MeanOfParts {
  StepDerivatives mean;
  double cost_variance = 0;  // of the mean's cost
};

MeanOfParts mean_of(const std::vector<StepDerivatives>& parts) {
  MeanOfParts result;
  result.mean.bits = parts.front().bits;
  const double share = 1 / static_cast<double>(parts.size());
  for (const StepDerivatives& part : parts) {
    result.mean.cost += share * part.cost;
    for (const auto side : {&StepDerivatives::rows, &StepDerivatives::columns}) {
      (result.mean.*side).imbalance += share * (part.*side).imbalance;
      (result.mean.*side).variance = (part.*side).variance;
    }
  }
  if (parts.size() < 2) return result;
  for (const StepDerivatives& part : parts) result.cost_variance += std::pow(part.cost - result.mean.cost, 2);
  result.cost_variance *= share / static_cast<double>(parts.size() - 1);
  return result;
}

// log2 of the cost per bit at one place in all layers, relative to the whole model's.
class CostsOfPlace {
 public:
  void add(const std::string& component, double log2_cost, double variance) {
    log2_costs_[component] = log2_cost;
    noise_ += variance;
  }
  // Drawn to their mean by the share of noise in their variance (James and Stein).
  std::map<std::string, double> shrunk() const {
    const auto count = static_cast<double>(log2_costs_.size());
    double mean = 0, variance = 0;
    for (const auto& [name, cost] : log2_costs_) mean += cost / count;
    for (const auto& [name, cost] : log2_costs_) variance += std::pow(cost - mean, 2) / std::max(1.0, count - 1);
    const double share = variance > 0 ? std::max(0.0, 1 - noise_ / count / variance) : 0;
    std::map<std::string, double> shrunk;
    for (const auto& [name, cost] : log2_costs_) shrunk[name] = mean + share * (cost - mean);
    return shrunk;
  }

 private:
  std::map<std::string, double> log2_costs_;
  double noise_ = 0;
};

}  // namespace

DescentStep descend(const std::map<std::string, LearnedSteps>& steps, const MeasuredSteps& measured,
                    const DescentOptions& options) {
  DescentStep next{steps, std::nullopt};
  std::map<std::string, MeanOfParts> means;
  double cost = 0, bits = 0;
  for (const auto& [name, parts] : measured) {
    const MeanOfParts& found = means.emplace(name, mean_of(parts)).first->second;
    cost += found.mean.cost;
    bits += found.mean.bits;
  }
  if (!(cost > 0)) return next;
  double squares = 0;
  std::map<std::string, CostsOfPlace> places;
  std::map<std::string, ExponentStep> rows, columns;
  for (const auto& [name, found] : means) {
    const double relative = std::max(found.mean.cost / found.mean.bits / (cost / bits), least_relative_cost);
    const double log2_cost = std::log2(relative);
    squares += log2_cost * log2_cost;
    const double scale = 1 / (relative * found.mean.bits * (cost / bits) * std::numbers::ln2);  // d log2 / d cost
    const std::string place = place_of(name);
    places[place].add(name, log2_cost, found.cost_variance * scale * scale);
    rows[place].add(found.mean.rows, found.mean.cost);
    columns[place].add(found.mean.columns, found.mean.cost);
  }
  next.spread = std::sqrt(squares / static_cast<double>(means.size()));
  const auto move = [](std::optional<double>& exponent, const ExponentStep& step, double rate) {
    if (exponent) exponent = std::clamp(*exponent + step.change(rate), 0.0, largest_step_exponent);
  };
  for (const auto& [place, of_place] : places) {
    for (const auto& [name, log2_cost] : of_place.shrunk()) {
      LearnedSteps& moved = next.steps[name];
      const auto limited = options.shares.find(name);
      const double share = limited == options.shares.end() ? 1 : limited->second, rate = options.rate * share;
      moved.offset += rate * std::clamp(0.5 * log2_cost, -longest_step, longest_step);
      if (share == 1) move(moved.row_exponent, rows.at(place), rate);
      move(moved.column_exponent, columns.at(place), rate);
    }
  }
  return next;
}

}  // namespace lcomp
