#include "report/training_figure.h"

#include <functional>

#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

constexpr std::size_t stretches = 500;

FigureSeries averaged(const std::vector<TrainingLogRow>& rows, std::string name, std::size_t style,
                      const std::function<double(const TrainingLogRow&)>& value) {
  FigureSeries series{std::move(name), style, {}};
  const std::size_t length = divide_up(rows.size(), stretches);
  for (std::size_t begin = 0; begin < rows.size(); begin += length) {
    const std::size_t count = std::min(length, rows.size() - begin);
    double sum = 0;
    for (std::size_t i = begin; i < begin + count; ++i) sum += value(rows[i]);
    FigurePoint point;
    point.x = static_cast<double>(rows[begin + count - 1].step);
    point.y = sum / static_cast<double>(count);
    series.points.push_back(point);
  }
  return series;
}

FigurePanel panel(const std::string& title, const std::string& y_label) {
  FigurePanel panel;
  panel.title = title;
  panel.x_label = "step";
  panel.y_label = y_label;
  return panel;
}

}  // namespace

Figure training_figure(const std::vector<TrainingLogRow>& rows) {
  Figure figure;
  figure.name = "loss";
  figure.title = "Training";
  FigurePanel loss = panel("Loss", "cross entropy (nats)");
  if (!rows.empty()) loss.series.push_back(averaged(rows, "training", 0, [](const auto& row) { return row.loss; }));
  FigureSeries held_out{"held out", 1, {}};
  for (const TrainingLogRow& row : rows) {
    if (!row.held_out_loss) continue;
    FigurePoint point;
    point.x = static_cast<double>(row.step);
    point.y = *row.held_out_loss;
    held_out.points.push_back(point);
  }
  if (!held_out.points.empty()) loss.series.push_back(std::move(held_out));
  FigurePanel norm = panel("Norm of the gradient", "norm"), rate = panel("Learning rate", "rate");
  if (!rows.empty()) {
    norm.series.push_back(averaged(rows, "training", 0, [](const auto& row) { return row.gradient_norm; }));
    rate.series.push_back(averaged(rows, "training", 0, [](const auto& row) { return row.learning_rate; }));
  }
  norm.log_y = true;
  figure.columns = 3;
  figure.panels = {std::move(loss), std::move(norm), std::move(rate)};
  return figure;
}

}  // namespace lcomp
