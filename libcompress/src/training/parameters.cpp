#include "lcomp/training/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "lcomp/models/model_in_memory.h"

namespace lcomp {

Parameters::Parameters(std::string where, std::vector<TensorInfo> tensors)
    : where_(std::move(where)), tensors_(std::move(tensors)) {
  std::ranges::sort(tensors_, {}, &TensorInfo::name);
  std::size_t total = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    TensorInfo& info = tensors_[i];
    if (i > 0 && tensors_[i - 1].name == info.name) throw Error({where_, "two tensors \"" + info.name + "\"", "", ""});
    info.stored_as = "F32";
    info.stored_bytes = std::uint64_t{info.elements()} * sizeof(float);
    offsets_.push_back(total);
    total = checked_add(total, info.elements(), where_);
  }
  values_ = AlignedBuffer<float>(total);
  fill(0);
}

std::size_t Parameters::index(std::string_view name) const {
  const auto found =
      std::ranges::lower_bound(tensors_, name, {}, [](const TensorInfo& t) { return std::string_view(t.name); });
  if (found == tensors_.end() || found->name != name) {
    throw Error({where_, fmt::format("no tensor \"{}\"", name), "", ""});
  }
  return static_cast<std::size_t>(found - tensors_.begin());
}

std::span<float> Parameters::values(std::string_view name) {
  const std::size_t i = index(name);
  return values_.span().subspan(offsets_[i], tensors_[i].elements());
}

std::span<const float> Parameters::values(std::string_view name) const {
  const std::size_t i = index(name);
  return values_.span().subspan(offsets_[i], tensors_[i].elements());
}

void Parameters::fill(float value) { std::ranges::fill(values_.span(), value); }

void Parameters::read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                           std::span<float> out) const {
  const std::size_t i = index(name), rows = tensors_[i].rows(), cols = tensors_[i].cols();
  if (row_begin > rows || row_count > rows - row_begin || out.size() != row_count * cols) {
    throw Error({fmt::format("{}: {}", where_, name), fmt::format("rows {} to {}", row_begin, row_begin + row_count),
                 fmt::format("rows within its {}", rows), ""});
  }
  std::ranges::copy(values_.span().subspan(offsets_[i] + row_begin * cols, row_count * cols), out.begin());
}

std::shared_ptr<Parameters> copy_parameters(const ModelFolder& model) {
  const std::string where = model.path.string();
  std::vector<TensorInfo> infos = required_tensors(model.config_json, where);
  for (TensorInfo& info : infos) info.shape = model.tensors->info(info.name).shape;
  auto parameters = std::make_shared<Parameters>(where, std::move(infos));
  for (const TensorInfo& info : parameters->tensors()) {
    model.tensors->read_rows(info.name, 0, info.rows(), parameters->values(info.name));
  }
  return parameters;
}

void initialize_parameters(Parameters& parameters, const ModelFolder& model, double deviation, const Rng& rng) {
  const std::vector<std::string> projections = residual_projections(model.slices);
  const double residual = deviation / std::sqrt(2.0 * static_cast<double>(model.config.num_layers()));
  const float gain = model.config.norm == NormKind::rms_plus_one ? 0.0F : 1.0F;
  for (const TensorInfo& info : parameters.tensors()) {
    const std::span<float> values = parameters.values(info.name);
    if (info.shape.size() < 2) {
      std::ranges::fill(values, info.name.ends_with(".bias") ? 0.0F : gain);
      continue;
    }
    const double scale = std::ranges::find(projections, info.name) == projections.end() ? deviation : residual;
    Rng stream = rng.split(info.name);
    for (float& v : values) v = static_cast<float>(scale * stream.normal());
  }
}

}  // namespace lcomp
