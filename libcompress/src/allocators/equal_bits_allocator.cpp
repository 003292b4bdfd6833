#include "allocators/equal_bits_allocator.h"

#include "lcomp/formats/model_size.h"

#include <algorithm>
#include <utility>

namespace lcomp {
namespace {

constexpr double most_bits_per_weight = 32;

// The last choice of at most so many bits per weight, or the first.
std::size_t choice_of_bits(const AllocatableComponent& component, double bits) {
  const auto bits_of = [&](std::size_t choice) {
    return ModelSize{component.weights, component.choices[choice].bytes}.bits_per_weight();
  };
  std::size_t chosen = 0;
  while (chosen + 1 < component.choices.size() && bits_of(chosen + 1) <= bits) ++chosen;
  return chosen;
}

}  // namespace

std::vector<std::size_t> EqualBitsAllocator::allocate(const AllocationProblem& problem,
                                                      const ChoiceError& error) const {
  require_feasible(problem);
  const std::uint64_t budget = problem.budget - problem.other_bytes;
  const auto choices_of = [&](double bits) {
    std::vector<std::size_t> choices;
    for (const AllocatableComponent& component : problem.components) choices.push_back(choice_of_bits(component, bits));
    return choices;
  };
  const auto bytes_of = [&](const std::vector<std::size_t>& choices) {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) bytes += problem.components[i].choices[choices[i]].bytes;
    return bytes;
  };
  double low = 0, high = most_bits_per_weight;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (bytes_of(choices_of(middle)) <= budget ? low : high) = middle;
  }
  std::vector<std::size_t> chosen = choices_of(low);
  std::uint64_t used = bytes_of(chosen);

  const auto bytes_to_next = [&](std::size_t i) {
    const auto& choices = problem.components[i].choices;
    return choices[chosen[i] + 1].bytes - choices[chosen[i]].bytes;
  };
  std::vector<std::pair<double, std::size_t>> raises;  // fall of the error per byte, component
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] + 1 == problem.components[i].choices.size()) continue;
    const double gain = error(i, chosen[i]) - error(i, chosen[i] + 1);
    raises.emplace_back(gain / static_cast<double>(bytes_to_next(i)), i);
  }
  std::ranges::stable_sort(raises, [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [gain, i] : raises) {
    const std::uint64_t more = bytes_to_next(i);
    if (used + more > budget) continue;
    used += more;
    ++chosen[i];
  }
  return chosen;
}

}  // namespace lcomp
