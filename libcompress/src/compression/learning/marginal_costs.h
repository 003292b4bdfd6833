#pragma once

#include <map>
#include <string>

#include "compression/allocation/kept_factors.h"
#include "lcomp/compression/compress_model.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/models/model_components.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {

// How the cost of a compressed model and its bits change with the steps of each component (StepDerivatives), by a
// backward pass. A component's cost over its bits is what a bit more of it is worth: the same for all, the Lagrange
// multiplier, where the allocation is best.
class MarginalCosts : public GradientVisitor {
 public:
  // settings: of the components that are asked for, by name. report: of `compressed`; components without a bits_slope
  // there are left out. statistics: null where none are known. All must outlive the object.
  MarginalCosts(const ModelFolder& original, const ModelFolder& compressed,
                const std::map<std::string, ComponentSetting>& settings, const CompressionReport& report,
                RandomAccessStatistics* statistics, KeptFactors& factors);

  bool wants_tensor(const std::string& name) override { return components_.contains(name); }
  void tensor_gradient(const std::string& name, std::span<const std::size_t> shape,
                       std::span<const float> gradient) override;

  const std::map<std::string, StepDerivatives>& found() const { return found_; }  // by component

 private:
  struct Asked {
    ModelComponent component;
    const ComponentSetting* setting;
    const ComponentReport* report;
  };

  const ModelFolder& original_;
  const ModelFolder& compressed_;
  RandomAccessStatistics* statistics_;
  KeptFactors& factors_;
  std::map<std::string, Asked> components_;  // by tensor
  std::map<std::string, StepDerivatives> found_;
};

}  // namespace lcomp
