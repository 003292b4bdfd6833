// Weights of a fixed bit width: methods whose setting has "bits", 1 to 8.
#include <utility>

#include "compression/allocation/budgeted_kinds.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/cost/second_order_cost.h"
#include "lcomp/quantizers/cost/squared_error.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

constexpr int most_width = 8;

class BudgetedWidth : public BudgetedComponent {
 public:
  BudgetedWidth(const ModelComponent& component, const QuantizerSetting& setting, int least_width)
      : component_(component), setting_(setting) {
    for (int bits = least_width; bits <= most_width; ++bits) {
      choices_.push_back({bits, *quantizer_at(bits)->predicted_bytes(component.rows, component.cols)});
    }
  }

  std::vector<SizeChoice> choices() const override { return choices_; }

  // By cost as the sensitivities tell, the weight quantized as it will be; else the squared error of plain rounding.
  double cost(std::size_t choice, const BudgetInputs& inputs) const override {
    const int bits = choices_[choice].bits;
    if (inputs.policy.across == AllocationPolicy::Across::equal) return squared_error_at(bits, inputs);
    return inputs.width_costs
        .at(component_.name, name(with_bits(setting_, bits)), [&] { return second_order_cost_at(bits, inputs); })
        .weighed(default_shrinkage_weight);
  }

  std::unique_ptr<Quantizer> quantizer(const SizeOrder& order) const override {
    return quantizer_at(choices_[*order.choice].bits);
  }

 private:
  std::unique_ptr<Quantizer> quantizer_at(int bits) const { return make_quantizer(with_bits(setting_, bits)); }

  double squared_error_at(int bits, const BudgetInputs& inputs) const {
    const Matrix weight = inputs.tensors.read(component_.tensor);
    return squared_error(weight.view(),
                         quantizer_at(bits)->quantize_without_statistics(weight.view(), component_.name).weight)
        .error;
  }

  ErrorCost second_order_cost_at(int bits, const BudgetInputs& inputs) const {
    const Matrix weight = inputs.tensors.read(component_.tensor);
    const auto quantizer = quantizer_at(bits);
    const std::shared_ptr<const LayerStats> known = inputs.known(component_);
    const QuantizedWeight made = quantizer->uses_statistics() && known->hessian.size() > 0
                                     ? quantizer->quantize(weight.view(), *known, component_.name)
                                     : quantizer->quantize_without_statistics(weight.view(), component_.name);
    const Matrix decoded = decode(made.weight);
    return error_cost(weight.view(), decoded.view(), *known->sensitivity, component_.name);
  }

  ModelComponent component_;
  QuantizerSetting setting_;
  std::vector<SizeChoice> choices_;
};

class BudgetedWidths : public BudgetedKind {
 public:
  const Traits& traits() const override {
    static const Traits traits{.name = "fixed width",
                               .missing_keys = "\"bits\"",
                               .known_sizes = true,
                               .uniform_only = true,
                               .default_policy = {},
                               .progress_label = "allocating bits"};
    return traits;
  }

  bool is_open(const QuantizerSetting& setting) const override {
    return has_bit_width(setting) && lcomp::is_open(setting);
  }

  std::unique_ptr<BudgetedComponent> open(const ModelComponent& component, const QuantizerSetting& setting,
                                          bool rounds_input, const BudgetInputs& inputs) const override {
    if (inputs.policy.across == AllocationPolicy::Across::by_cost) inputs.known(component);  // refuses what lacks it
    // Integers can't be multiplied by 1-bit codes, whose zero point is 1/2.
    return std::make_unique<BudgetedWidth>(component, setting, rounds_input ? 2 : 1);
  }
};

}  // namespace

const BudgetedKind& budgeted_widths() {
  static const BudgetedWidths kind;
  return kind;
}

}  // namespace lcomp
