#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/column_permutation.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/banded/banded_quantizer.h"
#include "lcomp/quantizers/cost/layer_importance.h"
#include "quantizers/banded/band_rounder.h"
#include "quantizers/feedback/column_removal.h"
#include "quantizers/feedback/error_feedback.h"
#include "quantizers/feedback/float_product.h"

// The widths of least cost: BandedProblem of banded_quantizer.h.
namespace lcomp {
namespace {

constexpr std::size_t most_bits = 8;
constexpr std::size_t most_measured_bits = 4;  // wider bands: errors as steps
constexpr std::size_t most_sampled_rows = 512;
constexpr double measured_bits[] = {0.75, 1.25, 1.75, 2.25, 3, 4};  // of profiles whose cost is corrected
constexpr float feedback_margin = 1.25f;                            // as of u8 scales in GPTQ

FeedbackOptions band_feedback() {
  FeedbackOptions feedback;
  feedback.group_size = band_columns;
  return feedback;
}

using WidthCosts = std::array<double, most_bits + 1>;

std::vector<float> squared_diagonal(ConstMatrixView root) {
  std::vector<float> squares(root.rows());
  for (std::size_t j = 0; j < squares.size(); ++j) squares[j] = root(j, j) * root(j, j);
  return squares;
}

// Rounds as another does, and adds up what that costs each band.
class CostRecorder : public ColumnRounder {
 public:
  // importance, costs: [rows of the slab], [bands]; column_costs: [cols], R_jj^2.
  CostRecorder(std::unique_ptr<ColumnRounder> rounder, std::span<const double> importance,
               std::span<const float> column_costs, std::span<double> costs)
      : rounder_(std::move(rounder)), importance_(importance), column_costs_(column_costs), costs_(costs) {}

  void fit(std::size_t position, ConstMatrixView columns) override { rounder_->fit(position, columns); }
  void round(std::size_t position, std::span<const float> values, std::span<float> decoded) override {
    rounder_->round(position, values, decoded);
    double sum = 0;
    for (std::size_t r = 0; r < values.size(); ++r) {
      const double error = static_cast<double>(values[r]) - static_cast<double>(decoded[r]);
      sum += importance_[r] * error * error;
    }
    costs_[position / band_columns] += static_cast<double>(column_costs_[position]) * sum;
  }

 private:
  std::unique_ptr<ColumnRounder> rounder_;
  std::span<const double> importance_;
  std::span<const float> column_costs_;
  std::span<double> costs_;
};

}  // namespace

BandedProblem::BandedProblem(ConstMatrixView weight, const LayerStats* stats, const BandedOptions& options,
                             const std::string& component, bool measured)
    : weight_(weight), options_(options), component_(component) {
  require_finite(weight, component);
  LayerImportance importance =
      stats == nullptr
          ? equal_importance(weight)
          : find_layer_importance(weight, *stats, {options.guided, options.embedding_weight, options.damping, true},
                                  "banded", component);
  if (stats != nullptr) warnings_ = importance.warnings();
  irrelevant_ = importance.irrelevant;
  if (irrelevant_) importance = equal_importance(weight);  // an order, for the format
  unit_ = importance.unit;
  row_importance_ = std::move(importance.rows);
  factor_ = std::move(importance.factor);
  put_in_order();
  if (!measured) return;
  find_costs();
  find_profiles();
}

// From here on columns are those of the format, in the order of the factor; dead ones are zero.
void BandedProblem::put_in_order() {
  const std::size_t cols = weight_.cols();
  std::vector<bool> dead(cols, false);
  for (const std::uint32_t column : factor_.dead) dead[column] = true;
  order_ = factor_.order;
  ordered_ = Matrix(weight_.rows(), cols);
  parallel_for(
      0, weight_.rows(),
      [&](std::size_t i) {
        for (std::size_t j = 0; j < cols; ++j) ordered_(i, j) = dead[order_[j]] ? 0 : weight_(i, order_[j]);
      },
      64);
  take_sample();
  std::iota(factor_.order.begin(), factor_.order.end(), 0u);
  factor_.dead.clear();
  hessian_ = Matrix(cols, cols);
  hessian_.fill(0);
  add_product_with_transposed(1, factor_.root.view(), factor_.root.view(), hessian_.view());
}

// Some rows that stand for all: each with the chance that its share is, at even distances, so that rows of large
// importance are in it for certain.
void BandedProblem::take_sample() {
  const double all = std::accumulate(row_importance_.begin(), row_importance_.end(), 0.0);
  std::map<std::size_t, double> chosen;  // share by row
  if (weight_.rows() <= most_sampled_rows) {
    for (std::size_t i = 0; i < row_importance_.size(); ++i) chosen.emplace(i, row_importance_[i]);
  } else {
    const double distance = all / static_cast<double>(most_sampled_rows);
    double sum = 0;
    double next = 0.5 * distance;
    for (std::size_t i = 0; i < row_importance_.size(); ++i) {
      for (sum += row_importance_[i]; next < sum; next += distance) chosen[i] += distance;
    }
  }
  sample_ = Matrix(chosen.size(), weight_.cols());
  for (const auto& [row, share] : chosen) {
    std::ranges::copy(ordered_.row(row), sample_.row(sample_importance_.size()).begin());
    sample_importance_.push_back(share);
  }
}

void BandedProblem::find_costs() {
  const std::size_t bands = band_count(weight_.cols());
  costs_.assign(bands, std::vector<double>(most_bits + 1, 0.0));
  if (irrelevant_) return;
  const std::vector<double> of_columns = removal_costs(sample_.view(), sample_importance_, hessian_.view(), component_);
  without_.assign(bands, 0.0);
  for (std::size_t j = 0; j < of_columns.size(); ++j) without_[j / band_columns] += cost_unit() * of_columns[j];
  for (std::size_t b = 0; b < bands; ++b) costs_[b][0] = without_[b];
  for (std::size_t bits = 1; bits <= most_measured_bits; ++bits) {
    const auto of_bands = measure(std::vector<std::uint8_t>(bands, static_cast<std::uint8_t>(bits)));
    const double nothing = std::accumulate(without_.begin(), without_.end(), 0.0);
    for (std::size_t b = 0; b < bands; ++b) costs_[b][bits] = of_bands ? (*of_bands)[b] : nothing;
  }
  const auto steps = [](std::size_t bits) { return static_cast<double>((1u << bits) - 1); };
  for (std::size_t bits = most_measured_bits + 1; bits <= most_bits; ++bits) {
    const double finer = steps(most_measured_bits) / steps(bits);
    for (std::size_t b = 0; b < bands; ++b) costs_[b][bits] = costs_[b][most_measured_bits] * finer * finer;
  }
  for (std::size_t b = 0; b < bands; ++b) {
    for (double& cost : costs_[b]) cost = weighed(b, cost);
  }
}

// With the part that shrinks the weight counted shrinkage_weight times.
double BandedProblem::weighed(std::size_t band, double cost) const {
  const double shrunk = cost < without_[band] ? cost / without_[band] : 1;
  return cost * (1 + (options_.shrinkage_weight - 1) * shrunk);
}

// The columns that have bits, the others made up for, and the root of their Hessian.
BandedProblem::Kept BandedProblem::keep(ConstMatrixView ordered, std::size_t kept) const {
  Kept result;
  if (kept == factor_.size()) {
    result.factor = &factor_;
  } else {
    Matrix hessian(kept, kept);
    for (std::size_t i = 0; i < kept; ++i) std::ranges::copy(hessian_.row(i).first(kept), hessian.row(i).begin());
    result.own = std::make_unique<HessianFactor>(factor_hessian(hessian.view(), {0, false}, component_));
    result.factor = result.own.get();
  }
  result.weight = without_last_columns(ordered, hessian_.view(), result.factor->root.view(), kept);
  result.column_costs = squared_diagonal(result.factor->root.view());
  return result;
}

// With feedback the cost of a weight is the sum over its columns of R_jj^2 times the squared error at the time when the
// column is rounded: what rounding the bands to these widths costs each of them, by the sample. Nothing where so few
// bits make feedback overflow.
std::optional<std::vector<double>> BandedProblem::measure(const std::vector<std::uint8_t>& band_bits) const {
  BandedIntegerWeight out =
      make_banded_integer(sample_.rows(), weight_.cols(), options_.symmetric, band_bits, component_);
  std::vector<double> total(costs_.size(), 0.0);
  const std::size_t columns = std::min(out.coded_bands * band_columns, out.cols);
  if (columns == 0) return total;
  const Kept kept = keep(sample_.view(), columns);
  const BandRounding rounding{options_.grid, feedback_margin, kept.column_costs, kept.weight.view(), &out, component_};
  std::map<std::size_t, std::vector<double>> of_slabs;  // by their first row, so that the order of sums is fixed
  std::mutex guard;
  try {
    round_with_feedback(
        kept.weight.view(), *kept.factor, band_feedback(),
        [&](std::size_t first_row, std::size_t row_count) {
          std::span<double> costs;
          {
            const std::lock_guard<std::mutex> lock(guard);
            costs = of_slabs.emplace(first_row, std::vector<double>(total.size(), 0.0)).first->second;
          }
          return std::make_unique<CostRecorder>(
              make_band_rounder(rounding, first_row, row_count),
              std::span<const double>(sample_importance_).subspan(first_row, row_count), kept.column_costs, costs);
        },
        component_);
  } catch (const Error&) {
    return std::nullopt;
  }
  for (const auto& [first_row, costs] : of_slabs) {
    for (std::size_t b = 0; b < total.size(); ++b) total[b] += cost_unit() * costs[b];
  }
  return total;
}

BandProfile BandedProblem::profile(std::vector<std::uint8_t> band_bits) const {
  BandProfile result;
  result.bytes =
      payload_bytes(banded_layout(weight_.rows(), weight_.cols(), options_.symmetric, band_bits, component_));
  for (std::size_t b = 0; b < band_bits.size(); ++b) result.cost += costs_[b][band_bits[b]];
  result.band_bits = std::move(band_bits);
  return result;
}

// Falling widths of least cost + price * bytes, by dynamic programming over the bands; of equal ones the narrowest.
std::vector<std::uint8_t> BandedProblem::best_widths(double price) const {
  const std::size_t bands = costs_.size();
  const auto rows = static_cast<double>(weight_.rows());
  // least[b][w]: of bands b ... when band b has w bits.
  std::vector<WidthCosts> least(bands);
  std::vector<std::array<std::size_t, most_bits + 1>> next(bands);
  for (std::size_t b = bands; b-- > 0;) {
    const auto columns = static_cast<double>(columns_of_band(weight_.cols(), b));
    std::size_t best = 0;  // of the next band, at most w bits
    for (std::size_t w = 0; w <= most_bits; ++w) {
      const auto bits = static_cast<double>(w);
      const double bytes = rows * ((columns + (options_.symmetric ? 0 : 1)) * bits / 8 + (w > 0 ? 1 : 0));
      least[b][w] = costs_[b][w] + price * bytes;
      if (b + 1 == bands) continue;
      if (least[b + 1][w] < least[b + 1][best]) best = w;
      next[b][w] = best;
      least[b][w] += least[b + 1][best];
    }
  }
  std::vector<std::uint8_t> widths(bands);
  auto w = static_cast<std::size_t>(std::min_element(least[0].begin(), least[0].end()) - least[0].begin());
  for (std::size_t b = 0; b < bands; ++b) {
    widths[b] = static_cast<std::uint8_t>(w);
    w = next[b][w];
  }
  return widths;
}

void BandedProblem::find_profiles() {
  const std::size_t bands = costs_.size();
  std::vector<BandProfile> found;
  if (options_.equal_widths || irrelevant_) {
    for (std::size_t w = 0; w <= (irrelevant_ ? 0 : most_bits); ++w) {
      found.push_back(profile(std::vector<std::uint8_t>(bands, static_cast<std::uint8_t>(w))));
    }
  } else {
    // Every vertex of the hull between two lies on the line of their price.
    found.push_back(profile(std::vector<std::uint8_t>(bands, 0)));
    found.push_back(profile(std::vector<std::uint8_t>(bands, static_cast<std::uint8_t>(most_bits))));
    for (std::size_t i = 0; i + 1 < found.size();) {
      const double price =
          (found[i].cost - found[i + 1].cost) / static_cast<double>(found[i + 1].bytes - found[i].bytes);
      BandProfile between = price > 0 ? profile(best_widths(price)) : found[i];
      const bool is_between = between.bytes > found[i].bytes && between.bytes < found[i + 1].bytes &&
                              between.cost < found[i].cost && between.cost > found[i + 1].cost;
      if (is_between) {
        found.insert(found.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::move(between));
      } else {
        ++i;
      }
    }
  }
  if (!options_.equal_widths) correct_costs(found);
  for (BandProfile& candidate : found) {
    if (profiles_.empty() || candidate.cost < profiles_.back().cost) profiles_.push_back(std::move(candidate));
  }
}

// What bands cost alone says too little of what they cost together: those that have bits must make up for the others,
// too. Measured for some profiles, in between by the ratio of true to expected cost.
void BandedProblem::correct_costs(std::vector<BandProfile>& profiles) const {
  const auto weights = static_cast<double>(weight_.size());
  const auto bits_of = [&](const BandProfile& p) { return 8 * static_cast<double>(p.bytes) / weights; };
  std::vector<std::pair<double, double>> ratios;  // log of the ratio, by bits
  std::size_t last = 0;
  for (const double bits : measured_bits) {
    std::size_t nearest = 0;
    for (std::size_t k = 0; k < profiles.size(); ++k) {
      if (std::abs(bits_of(profiles[k]) - bits) < std::abs(bits_of(profiles[nearest]) - bits)) nearest = k;
    }
    if (nearest == 0 || nearest == last) continue;  // no bits at all: known
    last = nearest;
    const BandProfile& profile = profiles[nearest];
    const auto of_bands = measure(profile.band_bits);
    if (!of_bands) continue;
    double cost = 0;
    for (std::size_t b = 0; b < costs_.size(); ++b) {
      cost += profile.band_bits[b] == 0 ? costs_[b][0] : weighed(b, (*of_bands)[b]);
    }
    if (cost > 0 && profile.cost > 0) ratios.emplace_back(bits_of(profile), std::log(cost / profile.cost));
  }
  if (ratios.empty()) return;
  for (std::size_t k = 1; k < profiles.size(); ++k) {
    const double bits = bits_of(profiles[k]);
    const auto after = std::ranges::find_if(ratios, [bits](const auto& r) { return r.first >= bits; });
    double log_ratio = after == ratios.end() ? ratios.back().second : after->second;
    if (after != ratios.end() && after != ratios.begin()) {
      const auto before = after - 1;
      log_ratio = std::lerp(before->second, after->second, (bits - before->first) / (after->first - before->first));
    }
    profiles[k].cost *= std::exp(log_ratio);
  }
}

double BandedProblem::cost_unit() const { return 0.5 * unit_ * std::exp2(2 * options_.precision_offset); }

BandProfile BandedProblem::profile_of(double bytes) const {
  const BandProfile* best = nullptr;
  for (const BandProfile& candidate : profiles_) {
    if (static_cast<double>(candidate.bytes) <= bytes) best = &candidate;
  }
  if (best == nullptr) {
    const auto weights = static_cast<double>(weight_.size());
    throw Error({component_, fmt::format("{:.4f} bits per weight", 8 * bytes / weights),
                 fmt::format("at least {:.4f}, which a weight of zeros takes",
                             8 * static_cast<double>(profiles_.front().bytes) / weights),
                 ""});
  }
  return options_.equal_widths || irrelevant_ ? *best : filled_up(*best, bytes);
}

// With what is left, a bit more for the bands that gain most by it.
BandProfile BandedProblem::filled_up(BandProfile start, double bytes) const {
  for (;;) {
    std::optional<BandProfile> best;
    double best_gain = 0;
    for (std::size_t b = 0; b < start.band_bits.size(); ++b) {
      const std::uint8_t most = b == 0 ? static_cast<std::uint8_t>(most_bits) : start.band_bits[b - 1];
      if (start.band_bits[b] >= most) continue;
      std::vector<std::uint8_t> raised = start.band_bits;
      ++raised[b];
      BandProfile candidate = profile(std::move(raised));
      const double cost = costs_[b][start.band_bits[b]] - costs_[b][candidate.band_bits[b]];
      const double gain = cost / static_cast<double>(candidate.bytes - start.bytes);
      if (static_cast<double>(candidate.bytes) > bytes || !(gain > best_gain)) continue;
      best_gain = gain;
      best = std::move(candidate);
    }
    if (!best) return start;
    start = std::move(*best);
  }
}

BandedIntegerWeight BandedProblem::quantize(std::span<const std::uint8_t> band_bits) const {
  const std::size_t cols = weight_.cols();
  BandedIntegerWeight out = make_banded_integer(weight_.rows(), cols, options_.symmetric, band_bits, component_);
  set_permutation(out, order_);
  const std::size_t columns = std::min(out.coded_bands * band_columns, cols);
  if (columns == 0) return out;
  const Kept kept = keep(ordered_.view(), columns);
  const BandRounding rounding{options_.grid, feedback_margin, kept.column_costs, kept.weight.view(), &out, component_};
  round_with_feedback(
      kept.weight.view(), *kept.factor, band_feedback(),
      [&rounding](std::size_t first_row, std::size_t row_count) {
        return make_band_rounder(rounding, first_row, row_count);
      },
      component_);
  return out;
}

}  // namespace lcomp
