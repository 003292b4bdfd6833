// Banded weights: a bit width for each band of columns; bands of widths that lower the cost most for their bytes.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "compression/allocation/budgeted_kinds.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/model_size.h"
#include "lcomp/quantizers/banded/banded_quantizer.h"

namespace lcomp {
namespace {

constexpr double bits_rounding = 1.0e-9;  // of bits per weight against the bounds given for them

double bits_of(std::uint64_t bytes, std::uint64_t weights) { return ModelSize{weights, bytes}.bits_per_weight(); }

// The profiles between min_bits and max_bits.
std::vector<BandProfile> within_bounds(const std::vector<BandProfile>& all, const BandedOptions& options,
                                       const ModelComponent& component) {
  const std::uint64_t weights = component.parameters();
  std::vector<BandProfile> kept;
  std::ranges::copy_if(all, std::back_inserter(kept), [&](const BandProfile& profile) {
    const double bits = bits_of(profile.bytes, weights);
    return bits >= options.min_bits - bits_rounding && bits <= options.max_bits + bits_rounding;
  });
  // A component that hardly matters has no widths at all: the least is then what min_bits asks for, if anything is.
  if (kept.empty() && all.size() == 1) kept = all;
  if (!kept.empty()) return kept;
  throw Error({component.name, fmt::format("min_bits {:g}, max_bits {:g}", options.min_bits, options.max_bits),
               fmt::format("bounds with widths between them; it can take {:.4f} to {:.4f} bits per weight",
                           bits_of(all.front().bytes, weights), bits_of(all.back().bytes, weights)),
               ""});
}

class BudgetedBand : public BudgetedComponent {
 public:
  BudgetedBand(const ModelComponent& component, const BandedOptions& options, const BudgetInputs& inputs)
      : weights_(component.parameters()), options_(options) {
    options_.equal_widths = inputs.policy.within == AllocationPolicy::Within::uniform;
    const std::shared_ptr<const LayerStats> known = inputs.known(component);
    const Matrix weight = inputs.tensors.read(component.tensor);
    const BandedProblem problem(weight.view(), known.get(), options_, component.name);
    profiles_ = within_bounds(problem.profiles(), options_, component);
  }

  std::vector<SizeChoice> choices() const override {
    std::vector<SizeChoice> choices;
    for (const BandProfile& profile : profiles_) choices.push_back({profile.band_bits.front(), profile.bytes});
    return choices;
  }
  double cost(std::size_t choice, const BudgetInputs& /*inputs*/) const override { return profiles_[choice].cost; }

  std::unique_ptr<Quantizer> quantizer(const SizeOrder& order) const override {
    const BandProfile& profile = profiles_[*order.choice];
    BandedOptions options = options_;
    options.bits = bits_of(profile.bytes, weights_);
    return std::make_unique<BandedQuantizer>(options, profile.band_bits);
  }

  // All weights that have bits.
  double bits_slope(const CompressedWeight& weight) const override {
    const auto& bands = std::get<BandedIntegerWeight>(weight);
    return static_cast<double>(bands.rows * std::min(bands.coded_bands * band_columns, bands.cols));
  }

 private:
  std::uint64_t weights_;
  BandedOptions options_;
  std::vector<BandProfile> profiles_;
};

class BudgetedBands : public BudgetedKind {
 public:
  const Traits& traits() const override {
    static const Traits traits{.name = "banded",
                               .missing_keys = "\"bits\"",
                               .default_policy = allocation_policy("second_order"),
                               .progress_label = "measuring bands",
                               // Hulls alone come within a fraction of a percent of the best.
                               .knapsack_states = 4096};
    return traits;
  }

  bool is_open(const QuantizerSetting& setting) const override {
    const auto* options = std::get_if<BandedOptions>(&setting.options);
    return options != nullptr && !options->bits;
  }

  std::unique_ptr<BudgetedComponent> open(const ModelComponent& component, const QuantizerSetting& setting,
                                          bool /*rounds_input*/, const BudgetInputs& inputs) const override {
    return std::make_unique<BudgetedBand>(component, std::get<BandedOptions>(setting.options), inputs);
  }

  std::optional<LearnedSteps> first_steps(const QuantizerSetting& setting) const override {
    LearnedSteps steps;
    steps.offset = std::get<BandedOptions>(setting.options).precision_offset;
    return steps;
  }
};

}  // namespace

const BudgetedKind& budgeted_bands() {
  static const BudgetedBands kind;
  return kind;
}

}  // namespace lcomp
