#pragma once

#include <map>
#include <string>

#include "lcomp/compression/compress_model.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/models/model_components.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {

// What the errors of components of a compressed model cost, by the gradient, and what their bits are worth
// (StepPrices). Of banded components only cost and bits are known, cost = <dC / dW^, W^ - W>.
class ErrorPrices : public GradientVisitor {
 public:
  // settings: of the components that are asked for, by name. report: of `compressed`; components without a bits_slope
  // there are left out. original, compressed, report and statistics (null: none are known) must outlive the object.
  ErrorPrices(const ModelFolder& original, const ModelFolder& compressed,
              const std::map<std::string, ComponentSetting>& settings, const CompressionReport& report,
              RandomAccessStatistics* statistics);

  bool wants_tensor(const std::string& name) override { return components_.contains(name); }
  void tensor_gradient(const std::string& name, std::span<const std::size_t> shape,
                       std::span<const float> gradient) override;

  const std::map<std::string, StepPrices>& prices() const { return prices_; }  // by component

 private:
  struct Open {
    ModelComponent component;
    ComponentSetting setting;
    const ComponentReport* report;
  };
  StepPrices rate_coded_prices(const Open& open, ConstMatrixView weight, ConstMatrixView gradient,
                               ConstMatrixView error) const;

  const ModelFolder& original_;
  const ModelFolder& compressed_;
  RandomAccessStatistics* statistics_;
  std::map<std::string, Open> components_;  // by tensor
  std::map<std::string, StepPrices> prices_;
};

}  // namespace lcomp
