#include "compression/band_allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lcomp/allocators/fixed_allocator.h"
#include "lcomp/allocators/knapsack.h"
#include "lcomp/core/error.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

constexpr double bits_rounding = 1.0e-9;  // of bits per weight against the bounds given for them

struct Candidate {
  std::size_t component = 0;
  std::uint64_t weights = 0;
  BandedOptions options;
  std::vector<BandProfile> profiles;  // within the bounds

  double bits(std::size_t profile) const {
    return 8 * static_cast<double>(profiles[profile].bytes) / static_cast<double>(weights);
  }
};

std::vector<BandProfile> within_bounds(const std::vector<BandProfile>& all, const Candidate& candidate,
                                       const std::string& name) {
  std::vector<BandProfile> kept;
  for (const BandProfile& profile : all) {
    const double bits = 8 * static_cast<double>(profile.bytes) / static_cast<double>(candidate.weights);
    if (bits < candidate.options.min_bits - bits_rounding || bits > candidate.options.max_bits + bits_rounding)
      continue;
    kept.push_back(profile);
  }
  // A component that hardly matters has no widths at all: the least is then what min_bits asks for, if anything is.
  if (kept.empty() && all.size() == 1) kept = all;
  if (!kept.empty()) return kept;
  const auto weights = static_cast<double>(candidate.weights);
  throw Error({name,
               fmt::format("min_bits {:g}, max_bits {:g}", candidate.options.min_bits, candidate.options.max_bits),
               fmt::format("bounds with widths between them; it can take {:.4f} to {:.4f} bits per weight",
                           8 * static_cast<double>(all.front().bytes) / weights,
                           8 * static_cast<double>(all.back().bytes) / weights),
               ""});
}

AllocationProblem fixed_problem(const std::vector<Candidate>& candidates, const std::vector<ModelComponent>& components,
                                std::uint64_t budget) {
  AllocationProblem problem;
  problem.budget = budget;
  for (const Candidate& candidate : candidates) {
    AllocatableComponent component{components[candidate.component].name, {}};
    for (const BandProfile& profile : candidate.profiles) {
      component.choices.push_back({profile.band_bits.front(), profile.bytes});
    }
    problem.components.push_back(std::move(component));
    problem.parameters += candidate.weights;
  }
  return problem;
}

// The last profile of at most so many bits per weight, or the first.
std::size_t profile_of_bits(const Candidate& candidate, double bits) {
  std::size_t chosen = 0;
  while (chosen + 1 < candidate.profiles.size() && candidate.bits(chosen + 1) <= bits) ++chosen;
  return chosen;
}

// The same bits for each; what is left goes to those that gain most by their next profile.
std::vector<std::size_t> equal_bits(const std::vector<Candidate>& candidates, std::uint64_t budget) {
  const auto choices_of = [&](double bits) {
    std::vector<std::size_t> choices;
    for (const Candidate& candidate : candidates) choices.push_back(profile_of_bits(candidate, bits));
    return choices;
  };
  const auto bytes_of = [&](const std::vector<std::size_t>& choices) {
    std::uint64_t bytes = 0;
    for (std::size_t k = 0; k < candidates.size(); ++k) bytes += candidates[k].profiles[choices[k]].bytes;
    return bytes;
  };
  double low = 0, high = 32;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (bytes_of(choices_of(middle)) <= budget ? low : high) = middle;
  }
  std::vector<std::size_t> choices = choices_of(low);
  std::uint64_t used = bytes_of(choices);
  std::vector<std::pair<double, std::size_t>> raises;
  for (std::size_t k = 0; k < candidates.size(); ++k) {
    const auto& profiles = candidates[k].profiles;
    if (choices[k] + 1 == profiles.size()) continue;
    const BandProfile &now = profiles[choices[k]], &next = profiles[choices[k] + 1];
    raises.emplace_back((now.cost - next.cost) / static_cast<double>(next.bytes - now.bytes), k);
  }
  std::ranges::stable_sort(raises, [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [gain, k] : raises) {
    const std::uint64_t more = candidates[k].profiles[choices[k] + 1].bytes - candidates[k].profiles[choices[k]].bytes;
    if (used + more > budget) continue;
    used += more;
    ++choices[k];
  }
  return choices;
}

std::vector<std::size_t> least_cost(const std::vector<Candidate>& candidates, std::uint64_t budget) {
  constexpr std::size_t most_states = 4096;  // hulls alone come within a fraction of a percent of the best
  std::vector<std::vector<KnapsackChoice>> choices;
  for (const Candidate& candidate : candidates) {
    choices.emplace_back();
    for (const BandProfile& profile : candidate.profiles) choices.back().push_back({profile.bytes, profile.cost});
  }
  return solve_knapsack(choices, budget, most_states).choices;
}

void check_budget(const std::vector<Candidate>& candidates, std::uint64_t budget) {
  std::uint64_t least = 0, most = 0;
  for (const Candidate& candidate : candidates) {
    least += candidate.profiles.front().bytes;
    most += candidate.profiles.back().bytes;
  }
  const std::string found = fmt::format("{} bytes for the banded components", budget);
  if (budget < least) {
    throw Error(
        {"target size", found, fmt::format("at least {} bytes for them", least), "lower min_bits, or a larger target"});
  }
  if (budget > most) {
    throw Error(
        {"target size", found, fmt::format("at most {} bytes for them", most), "raise max_bits, or a smaller target"});
  }
}

}  // namespace

std::map<std::size_t, BandedQuantizer> allocate_bands(const std::vector<ModelComponent>& components,
                                                      const std::vector<ComponentSetting>& settings,
                                                      const std::string& allocator, std::uint64_t budget,
                                                      RandomAccessStatistics& statistics, const TensorSource& tensors,
                                                      const ProgressCallback& progress_callback) {
  std::uint64_t weights = 0;
  for (std::size_t i = 0; i < components.size(); ++i) {
    if (settings[i].open_bands) weights += components[i].parameters();
  }
  Progress progress(progress_callback, "measuring bands", weights);
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < components.size(); ++i) {
    if (!settings[i].open_bands) continue;
    const ModelComponent& component = components[i];
    Candidate candidate{i, component.parameters(), std::get<BandedOptions>(settings[i].quantizer->options), {}};
    candidate.options.equal_widths = allocator == "fixed" || allocator == "across";
    const std::shared_ptr<const LayerStats> known = statistics.statistics(component);
    const bool one_price = allocator == "across" || allocator == "second_order";
    if (one_price && (known == nullptr || known->sensitivity == nullptr)) {
      throw Error({component.name, "no sensitivity: how much the cost depends on it",
                   "that of every component, for allocator " + allocator,
                   "lcomp calibrate --sensitivity divergence gathers them"});
    }
    const Matrix weight = tensors.read(component.tensor);
    const BandedProblem problem(weight.view(), known.get(), candidate.options, component.name);
    candidate.profiles = within_bounds(problem.profiles(), candidate, component.name);
    candidates.push_back(std::move(candidate));
    progress.advance(component.parameters());
  }
  check_budget(candidates, budget);

  std::vector<std::size_t> chosen;
  if (allocator == "fixed") {
    chosen = FixedAllocator().allocate(
        fixed_problem(candidates, components, budget),
        [&](std::size_t k, std::size_t choice) { return candidates[k].profiles[choice].cost; });
  } else if (allocator == "within") {
    chosen = equal_bits(candidates, budget);
  } else {
    chosen = least_cost(candidates, budget);
  }
  std::map<std::size_t, BandedQuantizer> result;
  for (std::size_t k = 0; k < candidates.size(); ++k) {
    BandedOptions options = candidates[k].options;
    options.bits = candidates[k].bits(chosen[k]);
    result.emplace(candidates[k].component, BandedQuantizer(options, candidates[k].profiles[chosen[k]].band_bits));
  }
  return result;
}

}  // namespace lcomp
