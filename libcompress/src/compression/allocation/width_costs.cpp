#include "compression/allocation/width_costs.h"

#include <vector>

#include <fmt/format.h>

#include "lcomp/core/hash.h"

namespace lcomp {

WidthCosts::WidthCosts(const Workspace& work) {
  if (work) archive_.emplace(work.begun_anew().archive());
}

ErrorCost WidthCosts::at(const std::string& component, const std::string& quantizer,
                         const std::function<ErrorCost()>& measure) {
  if (!archive_) return measure();
  Hasher hasher;
  hasher.update(quantizer);
  const std::string item = fmt::format("{}/{}", component, hasher.hex().substr(0, 16));
  if (archive_->contains(item)) {
    const std::vector<double> numbers = archive_->read_doubles(item);
    if (numbers.size() == 2) return {numbers[0], numbers[1]};
  }
  const ErrorCost cost = measure();
  archive_->write(item, std::vector<double>{cost.cost, cost.along_weight});
  return cost;
}

}  // namespace lcomp
