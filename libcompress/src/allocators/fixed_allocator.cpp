#include "allocators/fixed_allocator.h"

#include <algorithm>

namespace lcomp {
namespace {

// The largest choice of at most `bits` bits, or the smallest.
std::size_t choice_of_width(const AllocatableComponent& component, int bits) {
  std::size_t choice = 0;
  while (choice + 1 < component.choices.size() && component.choices[choice + 1].bits <= bits) ++choice;
  return choice;
}

struct Raise {
  std::size_t component;
  std::uint64_t bytes;
  double gain_per_byte;
};

}  // namespace

std::vector<std::size_t> FixedAllocator::allocate(const AllocationProblem& problem, const ChoiceError& error) const {
  require_feasible(problem);
  const auto& components = problem.components;
  int most_bits = 0;
  for (const auto& component : components) most_bits = std::max(most_bits, component.choices.back().bits);

  std::vector<std::size_t> chosen(components.size(), 0);
  std::uint64_t used = 0;
  for (int bits = most_bits; bits >= 0; --bits) {
    used = problem.other_bytes;
    for (std::size_t i = 0; i < components.size(); ++i) {
      chosen[i] = choice_of_width(components[i], bits);
      used += components[i].choices[chosen[i]].bytes;
    }
    if (used <= problem.budget) break;
  }

  std::vector<Raise> raises;
  for (std::size_t i = 0; i < components.size(); ++i) {
    const auto& choices = components[i].choices;
    if (chosen[i] + 1 == choices.size()) continue;
    const std::uint64_t bytes = choices[chosen[i] + 1].bytes - choices[chosen[i]].bytes;
    if (bytes > problem.budget - used) continue;
    const double gain = error(i, chosen[i]) - error(i, chosen[i] + 1);
    if (gain > 0) raises.push_back({i, bytes, gain / static_cast<double>(bytes)});
  }
  std::stable_sort(raises.begin(), raises.end(),
                   [](const Raise& a, const Raise& b) { return a.gain_per_byte > b.gain_per_byte; });
  for (const Raise& raise : raises) {
    if (raise.bytes > problem.budget - used) continue;
    used += raise.bytes;
    ++chosen[raise.component];
  }
  return chosen;
}

}  // namespace lcomp
