#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lcomp/compression/learned_steps.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {

// By component: what each part of the training set says of its steps. One part at least.
using MeasuredSteps = std::map<std::string, std::vector<StepDerivatives>>;

struct DescentOptions {
  double rate = 0.7;  // of Newton's step
  // The share of its step that a component moves by, by component; 1 where it is not there.
  std::map<std::string, double> shares;
};

struct DescentStep {
  std::map<std::string, LearnedSteps> steps;
  // Root mean square of log2 of the components' cost per bit over the model's; nothing where there was no cost to
  // lower, and the steps stay.
  std::optional<double> spread;
};

// One step of the descent that learned_allocation.h describes, from `steps`.
DescentStep descend(const std::map<std::string, LearnedSteps>& steps, const MeasuredSteps& measured,
                    const DescentOptions& options);

}  // namespace lcomp
