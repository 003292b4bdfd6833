#include "compression/error_prices.h"

#include <memory>
#include <numeric>

#include "lcomp/core/parallel.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

double inner_product(ConstMatrixView a, ConstMatrixView b) {
  std::vector<double> of_rows(a.rows(), 0.0);
  parallel_for(
      0, a.rows(),
      [&](std::size_t i) {
        for (std::size_t j = 0; j < a.cols(); ++j) {
          of_rows[i] += static_cast<double>(a(i, j)) * static_cast<double>(b(i, j));
        }
      },
      64);
  return std::accumulate(of_rows.begin(), of_rows.end(), 0.0);
}

}  // namespace

ErrorPrices::ErrorPrices(const ModelFolder& original, const ModelFolder& compressed,
                         const std::map<std::string, ComponentSetting>& settings, const CompressionReport& report,
                         RandomAccessStatistics* statistics)
    : original_(original), compressed_(compressed), statistics_(statistics) {
  const std::vector<ModelComponent> components = model_components(original);
  for (std::size_t i = 0; i < components.size(); ++i) {
    const auto setting = settings.find(components[i].name);
    if (setting == settings.end() || !(report.components[i].bits_slope > 0)) continue;
    components_.emplace(components[i].tensor, Open{components[i], setting->second, &report.components[i]});
  }
}

void ErrorPrices::tensor_gradient(const std::string& name, std::span<const std::size_t> /*shape*/,
                                  std::span<const float> gradient) {
  const Open& open = components_.at(name);
  const Matrix weight = original_.tensors->read(name);
  Matrix error = compressed_.tensors->read(name);
  parallel_for(
      0, error.rows(),
      [&](std::size_t i) {
        for (std::size_t j = 0; j < error.cols(); ++j) error(i, j) -= weight(i, j);
      },
      64);
  const ConstMatrixView slope(gradient.data(), weight.rows(), weight.cols());
  if (open.setting.open_precision) {
    prices_.emplace(open.component.name, rate_coded_prices(open, weight.view(), slope, error.view()));
    return;
  }
  StepPrices prices;
  prices.cost = inner_product(slope, error.view());
  prices.bits = open.report->bits_slope;
  prices_.emplace(open.component.name, prices);
}

StepPrices ErrorPrices::rate_coded_prices(const Open& open, ConstMatrixView weight, ConstMatrixView gradient,
                                          ConstMatrixView error) const {
  const std::string& name = open.component.name;
  RateCodedOptions options = std::get<RateCodedOptions>(open.setting.quantizer->options);
  options.precision = 0;
  const std::shared_ptr<const LayerStats> known =
      statistics_ == nullptr ? nullptr : statistics_->statistics(open.component);
  const RateCodedProblem problem(weight, known != nullptr ? *known : LayerStats{}, options, name);
  return problem.step_prices(gradient, error, problem.curve().precision(8 * static_cast<double>(open.report->bytes)));
}

}  // namespace lcomp
