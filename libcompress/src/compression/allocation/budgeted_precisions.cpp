// Rate-coded weights: any precision, and bytes that are known after coding.
#include <utility>
#include <variant>

#include "compression/allocation/budgeted_kinds.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {
namespace {

// Logarithms of steps and magnitudes and the index of blocks: about a byte and a half for each row and column.
std::uint64_t expected_side_bytes(const ModelComponent& component) {
  return 3 * (std::uint64_t{component.rows} + component.cols) / 2 + 64;
}

// The options of an open setting. Precisions come from the budget, which adds the offset.
RateCodedOptions options_of(const QuantizerSetting& setting) {
  RateCodedOptions options = std::get<RateCodedOptions>(setting.options);
  options.precision = 0;
  return options;
}

// Quantizes as the budget ordered, with a factor that may have been kept.
class OrderedQuantizer : public Quantizer {
 public:
  OrderedQuantizer(const RateCodedOptions& options, const SizeOrder& order, KeptFactors& factors)
      : options_(options), order_(order), factors_(factors) {}

  QuantizedWeight quantize(ConstMatrixView weight, const LayerStats& stats,
                           const std::string& component) const override {
    const auto importance = factors_.importance(weight, options_, component, [&] {
      return std::shared_ptr<const LayerStats>(std::shared_ptr<void>(), &stats);
    });
    const RateCodedProblem problem(weight, importance, options_, component);
    return {order_.bytes ? quantize_to_bytes(problem, *order_.bytes, order_.tolerance, component)
                         : problem.quantize(*order_.precision),
            problem.warnings()};
  }
  bool uses_statistics() const override { return true; }
  std::optional<WeightLayout> layout(std::size_t /*rows*/, std::size_t /*cols*/) const override { return std::nullopt; }
  std::string name() const override { return lcomp::name(options_); }

 private:
  RateCodedOptions options_;
  SizeOrder order_;
  KeptFactors& factors_;
};

class BudgetedPrecision : public BudgetedComponent {
 public:
  BudgetedPrecision(const ModelComponent& component, const RateCodedOptions& options, const BudgetInputs& inputs)
      : options_(options), factors_(inputs.factors) {
    if (inputs.policy.within == AllocationPolicy::Within::uniform) options_.row_steps = options_.column_steps = false;
    // Known or not, sensitivities are asked for: a factor may be kept from before.
    const std::shared_ptr<const LayerStats> known = inputs.known(component);
    const Matrix weight = inputs.tensors.read(component.tensor);
    const auto importance = factors_.importance(weight.view(), options_, component.name, [&] { return known; });
    curve_.kind = component.kind == ComponentKind::linear ? 0 : 1;
    curve_.weights = component.parameters();
    curve_.side_bytes = expected_side_bytes(component);
    curve_.precision_offset = options_.precision_offset;
    curve_.min_bits = options_.min_bits;
    curve_.max_bits = options_.max_bits;
    curve_.curve = RateCodedProblem(weight.view(), importance, options_, component.name).curve();
  }

  std::optional<RateBudgetComponent> curve() const override { return curve_; }

  std::unique_ptr<Quantizer> quantizer(const SizeOrder& order) const override {
    return std::make_unique<OrderedQuantizer>(options_, order, factors_);
  }

  double bits_slope(const CompressedWeight& weight) const override {
    if (curve_.curve.weights() == 0) return 0;
    const double bits = 8 * (static_cast<double>(payload_bytes(weight)) - static_cast<double>(curve_.side_bytes));
    return bits > 0 ? curve_.curve.slope(curve_.curve.precision(bits)) : 0;
  }

 private:
  RateCodedOptions options_;
  KeptFactors& factors_;
  RateBudgetComponent curve_;
};

class BudgetedPrecisions : public BudgetedKind {
 public:
  const Traits& traits() const override {
    static const Traits traits{.name = "rate-coded",
                               .missing_keys = "\"precision\" nor \"bits\"",
                               .default_policy = allocation_policy("second_order"),
                               .progress_label = "measuring components"};
    return traits;
  }

  bool is_open(const QuantizerSetting& setting) const override {
    const auto* options = std::get_if<RateCodedOptions>(&setting.options);
    return options != nullptr && !options->precision && !options->bits;
  }

  std::unique_ptr<BudgetedComponent> open(const ModelComponent& component, const QuantizerSetting& setting,
                                          bool /*rounds_input*/, const BudgetInputs& inputs) const override {
    return std::make_unique<BudgetedPrecision>(component, options_of(setting), inputs);
  }

  std::optional<LearnedSteps> first_steps(const QuantizerSetting& setting) const override {
    const RateCodedOptions options = options_of(setting);
    LearnedSteps steps;
    steps.offset = options.precision_offset;
    if (options.row_steps) steps.row_exponent = options.row_exponent;
    if (options.column_steps) steps.column_exponent = options.column_exponent;
    return steps;
  }

  StepDerivatives step_derivatives(const QuantizerSetting& setting, const MeasuredComponent& measured,
                                   RandomAccessStatistics* statistics, KeptFactors& factors) const override {
    const std::string& name = measured.component.name;
    const RateCodedOptions options = options_of(setting);
    const auto importance = factors.importance(measured.weight, options, name, [&] {
      return statistics == nullptr ? nullptr : statistics->statistics(measured.component);
    });
    const RateCodedProblem problem(measured.weight, importance, options, name);
    return problem.step_derivatives(measured.gradient, measured.error,
                                    problem.curve().precision(8 * static_cast<double>(measured.bytes)));
  }
};

}  // namespace

const BudgetedKind& budgeted_precisions() {
  static const BudgetedPrecisions kind;
  return kind;
}

}  // namespace lcomp
