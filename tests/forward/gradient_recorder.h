#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "lcomp/forward/gradients.h"

namespace lcomp::testing {

// Keeps the gradients of all tensors, or of those in `wanted`.
struct GradientRecorder : GradientVisitor {
  std::map<std::string, std::vector<float>> of;
  std::map<std::string, std::vector<std::size_t>> shapes;
  std::vector<std::string> order;
  std::vector<std::string> wanted;  // empty: all

  bool wants_tensor(const std::string& name) override {
    return wanted.empty() || std::ranges::find(wanted, name) != wanted.end();
  }
  void tensor_gradient(const std::string& name, std::span<const std::size_t> shape,
                       std::span<const float> gradient) override {
    of[name].assign(gradient.begin(), gradient.end());
    shapes[name].assign(shape.begin(), shape.end());
    order.push_back(name);
  }
};

}  // namespace lcomp::testing
