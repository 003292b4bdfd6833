#include "compression/learning/marginal_costs.h"

#include "compression/allocation/budgeted_kinds.h"
#include "lcomp/core/eigen_view.h"
#include "lcomp/core/parallel.h"

namespace lcomp {

MarginalCosts::MarginalCosts(const ModelFolder& original, const ModelFolder& compressed,
                             const std::map<std::string, ComponentSetting>& settings, const CompressionReport& report,
                             RandomAccessStatistics* statistics, KeptFactors& factors)
    : original_(original), compressed_(compressed), statistics_(statistics), factors_(factors) {
  const std::vector<ModelComponent> components = model_components(original);
  for (std::size_t i = 0; i < components.size(); ++i) {
    const auto setting = settings.find(components[i].name);
    if (setting == settings.end() || !(report.components[i].bits_slope > 0)) continue;
    components_.emplace(components[i].tensor, Asked{components[i], &setting->second, &report.components[i]});
  }
}

void MarginalCosts::tensor_gradient(const std::string& name, std::span<const std::size_t> /*shape*/,
                                    std::span<const float> gradient) {
  const Asked& asked = components_.at(name);
  const Matrix weight = original_.tensors->read(name);
  Matrix error = compressed_.tensors->read(name);
  parallel_for(
      0, error.rows(), [&](std::size_t i) { as_eigen(error.row(i)) -= as_eigen(weight.row(i)); }, 64);
  const MeasuredComponent measured{
      asked.component, weight.view(),       ConstMatrixView(gradient.data(), weight.rows(), weight.cols()),
      error.view(),    asked.report->bytes, asked.report->bits_slope};
  found_.emplace(
      asked.component.name,
      budgeted_kind(*asked.setting->open).step_derivatives(*asked.setting->quantizer, measured, statistics_, factors_));
}

}  // namespace lcomp
