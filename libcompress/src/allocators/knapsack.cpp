#include "allocators/knapsack.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

// A choice that no other of its component dominates.
struct Candidate {
  std::uint64_t bytes;
  double loss;
  std::size_t index;  // in the component's list
};
using Candidates = std::vector<Candidate>;  // bytes ascending, losses descending

Candidates undominated(const std::vector<KnapsackChoice>& choices, std::size_t component) {
  Candidates sorted;
  for (std::size_t j = 0; j < choices.size(); ++j) {
    if (!std::isfinite(choices[j].loss)) {
      throw Error(
          {fmt::format("component {}", component), fmt::format("a loss of {}", choices[j].loss), "finite losses", ""});
    }
    sorted.push_back({choices[j].bytes, choices[j].loss, j});
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](const Candidate& a, const Candidate& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.loss < b.loss;
  });
  Candidates kept;
  for (const Candidate& c : sorted) {
    if (kept.empty() || c.loss < kept.back().loss) kept.push_back(c);
  }
  return kept;
}

// The fall of loss per byte from a to b.
double slope(const Candidate& a, const Candidate& b) {
  return (a.loss - b.loss) / static_cast<double>(b.bytes - a.bytes);
}

// Positions of the candidates on the lower convex hull.
std::vector<std::size_t> convex_hull(const Candidates& candidates) {
  std::vector<std::size_t> hull;
  for (std::size_t j = 0; j < candidates.size(); ++j) {
    while (hull.size() >= 2 && slope(candidates[hull[hull.size() - 2]], candidates[hull.back()]) <=
                                   slope(candidates[hull.back()], candidates[j])) {
      hull.pop_back();
    }
    hull.push_back(j);
  }
  return hull;
}

struct Relaxation {
  std::vector<std::size_t> positions;  // of each component's candidates: within the budget
  std::uint64_t bytes = 0;
  double multiplier = 0;  // Lagrange multiplier: loss a byte, where the budget ends
};

// Fills up the hulls in the order of their slopes; then whatever still has room.
Relaxation relax(const std::vector<Candidates>& components, std::uint64_t budget) {
  struct Step {
    std::size_t component, position;
    std::uint64_t bytes;
    double slope;
  };
  Relaxation result;
  std::vector<Step> steps;
  for (std::size_t i = 0; i < components.size(); ++i) {
    const std::vector<std::size_t> hull = convex_hull(components[i]);
    result.bytes += components[i].front().bytes;
    for (std::size_t k = 1; k < hull.size(); ++k) {
      const Candidate &from = components[i][hull[k - 1]], &to = components[i][hull[k]];
      steps.push_back({i, hull[k], to.bytes - from.bytes, slope(from, to)});
    }
  }
  result.positions.assign(components.size(), 0);
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.slope > b.slope; });
  bool full = false;
  std::vector<bool> stopped(components.size(), false);
  for (const Step& step : steps) {
    if (stopped[step.component]) continue;
    if (result.bytes + step.bytes > budget) {
      if (!full) result.multiplier = step.slope;
      full = stopped[step.component] = true;
      continue;
    }
    result.bytes += step.bytes;
    result.positions[step.component] = step.position;
  }
  // Candidates off the hull, too, may have room.
  for (std::size_t i = 0; i < components.size(); ++i) {
    const Candidates& candidates = components[i];
    std::size_t& at = result.positions[i];
    while (at + 1 < candidates.size() && result.bytes + candidates[at + 1].bytes - candidates[at].bytes <= budget) {
      result.bytes += candidates[at + 1].bytes - candidates[at].bytes;
      ++at;
    }
  }
  return result;
}

// A selection for the components so far.
struct State {
  std::uint64_t bytes;
  double loss;
  std::uint32_t before;  // state of the layer before
  std::uint32_t position;
};

class Search {
 public:
  Search(const std::vector<Candidates>& components, std::uint64_t budget, double multiplier, std::size_t most_states)
      : components_(components), budget_(budget), multiplier_(multiplier), most_states_(most_states) {
    rest_.assign(components.size() + 1, 0);
    least_bytes_.assign(components.size() + 1, 0);
    for (std::size_t i = components.size(); i-- > 0;) {
      double least = std::numeric_limits<double>::infinity();
      for (const Candidate& c : components[i]) least = std::min(least, lagrangian(c.bytes, c.loss));
      rest_[i] = rest_[i + 1] + least;
      least_bytes_[i] = least_bytes_[i + 1] + components[i].front().bytes;
    }
  }

  // No selection has less loss than this.
  double bound() const { return rest_[0] - multiplier_ * static_cast<double>(budget_); }

  // The positions of a selection with less loss than `best`, the least there is; empty where there is none.
  std::vector<std::size_t> run(double best) {
    layers_.assign(1, {State{0, 0, none, 0}});
    for (std::size_t i = 0; i < components_.size(); ++i) {
      layers_.push_back(extended(i, best));
      if (layers_.back().empty()) return {};
    }
    const std::vector<State>& last = layers_.back();
    const auto least =
        std::min_element(last.begin(), last.end(), [](const State& a, const State& b) { return a.loss < b.loss; });
    if (!(least->loss < best)) return {};
    std::vector<std::size_t> positions(components_.size());
    auto at = static_cast<std::uint32_t>(least - last.begin());
    for (std::size_t i = components_.size(); i-- > 0;) {
      positions[i] = layers_[i + 1][at].position;
      at = layers_[i + 1][at].before;
    }
    return positions;
  }
  bool complete() const { return complete_; }

 private:
  double lagrangian(std::uint64_t bytes, double loss) const { return loss + multiplier_ * static_cast<double>(bytes); }

  std::vector<State> extended(std::size_t i, double best) {
    const std::vector<State>& before = layers_.back();
    std::vector<State> all;
    // What rounding in bounds may amount to.
    const double slack = 1e-12 * (std::abs(best) + std::abs(rest_[0]) + multiplier_ * static_cast<double>(budget_));
    const double limit = best + slack + multiplier_ * static_cast<double>(budget_);
    for (std::size_t s = 0; s < before.size(); ++s) {
      for (std::size_t p = 0; p < components_[i].size(); ++p) {
        const State next{before[s].bytes + components_[i][p].bytes, before[s].loss + components_[i][p].loss,
                         static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(p)};
        if (next.bytes + least_bytes_[i + 1] > budget_) break;
        if (lagrangian(next.bytes, next.loss) + rest_[i + 1] <= limit) all.push_back(next);
      }
    }
    std::sort(all.begin(), all.end(), [](const State& a, const State& b) {
      if (a.bytes != b.bytes) return a.bytes < b.bytes;
      if (a.loss != b.loss) return a.loss < b.loss;
      return a.before != b.before ? a.before < b.before : a.position < b.position;
    });
    std::vector<State> kept;
    for (const State& state : all) {
      if (kept.empty() || state.loss < kept.back().loss) kept.push_back(state);
    }
    if (kept.size() > most_states_) {
      complete_ = false;
      std::nth_element(
          kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(most_states_), kept.end(),
          [&](const State& a, const State& b) { return lagrangian(a.bytes, a.loss) < lagrangian(b.bytes, b.loss); });
      kept.resize(most_states_);
    }
    return kept;
  }

  const std::vector<Candidates>& components_;
  std::uint64_t budget_;
  double multiplier_;
  std::size_t most_states_;
  std::vector<double> rest_;                // least Lagrangian of components i ...
  std::vector<std::uint64_t> least_bytes_;  // of components i ...
  std::vector<std::vector<State>> layers_;
  bool complete_ = true;
};

}  // namespace

KnapsackSolution solve_knapsack(const std::vector<std::vector<KnapsackChoice>>& components, std::uint64_t budget,
                                std::size_t most_states) {
  assert(most_states > 0 && most_states < none);
  std::vector<Candidates> candidates;
  std::uint64_t least = 0;
  for (std::size_t i = 0; i < components.size(); ++i) {
    assert(!components[i].empty());
    candidates.push_back(undominated(components[i], i));
    least += candidates.back().front().bytes;
  }
  if (least > budget) {
    throw Error({"target size", fmt::format("{} bytes", budget), fmt::format("at least {} bytes", least), ""});
  }
  const Relaxation relaxation = relax(candidates, budget);
  std::vector<std::size_t> positions = relaxation.positions;
  double loss = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) loss += candidates[i][positions[i]].loss;
  Search search(candidates, budget, relaxation.multiplier, most_states);
  if (const std::vector<std::size_t> better = search.run(loss); !better.empty()) positions = better;

  KnapsackSolution solution;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& chosen = candidates[i][positions[i]];
    solution.choices.push_back(chosen.index);
    solution.bytes += chosen.bytes;
    solution.loss += chosen.loss;
  }
  solution.bound = search.complete() ? solution.loss : std::min(solution.loss, search.bound());
  return solution;
}

}  // namespace lcomp
