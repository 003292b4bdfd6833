#pragma once

#include <functional>
#include <optional>
#include <string>

#include "lcomp/archive/archive.h"
#include "lcomp/archive/workspace.h"
#include "lcomp/quantizers/cost/second_order_cost.h"

namespace lcomp {

// What components cost at the bit widths that were tried, kept on disk: for other targets, and after kill -9.
class WidthCosts {
 public:
  // What lies there under another key is thrown away.
  explicit WidthCosts(const Workspace& work);

  // quantizer: its method string, the bits included.
  ErrorCost at(const std::string& component, const std::string& quantizer, const std::function<ErrorCost()>& measure);

 private:
  std::optional<Archive> archive_;
};

}  // namespace lcomp
