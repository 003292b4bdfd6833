#include "training/trained_vectors.h"

#include <algorithm>
#include <cmath>

#include "lcomp/core/parallel.h"
#include "lcomp/training/adamw.h"

namespace lcomp {
namespace {

constexpr float largest_factor = 1.5F, smallest_factor = 0.5F;

TrainedVector begin_with(std::vector<float> values) {
  TrainedVector vector;
  double sum = 0;
  for (const float v : values) sum += std::abs(static_cast<double>(v));
  vector.unit = values.empty() || sum == 0 ? 1 : sum / static_cast<double>(values.size());
  vector.first.assign(values.size(), 0);
  vector.second.assign(values.size(), 0);
  vector.values = std::move(values);
  return vector;
}

void adam_step(TrainedVector& vector, int number, double rate) {
  if (vector.gradient.empty()) return;
  constexpr AdamWOptions options{0.9, 0.99, 1e-12, 0};
  adamw_update(options, rate * vector.unit, static_cast<std::uint64_t>(number), 1, vector.gradient, vector.first,
               vector.second, vector.values);
  vector.gradient.clear();
}

}  // namespace

TrainedTensors::TrainedTensors(std::shared_ptr<const TensorSource> base, const std::vector<std::string>& vectors,
                               const std::vector<std::string>& scaled_matrices)
    : base_(std::move(base)) {
  for (const std::string& name : vectors) {
    const Matrix values = base_->read(name);
    vectors_.emplace(name, begin_with({values.span().begin(), values.span().end()}));
  }
  for (const std::string& name : scaled_matrices) {
    factors_.emplace(name, begin_with(std::vector<float>(base_->info(name).rows(), 1.0F)));
  }
}

void TrainedTensors::read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                               std::span<float> out) const {
  if (const auto found = vectors_.find(name); found != vectors_.end()) {
    const std::size_t cols = base_->info(name).cols();
    std::copy_n(found->second.values.data() + row_begin * cols, row_count * cols, out.data());
    return;
  }
  base_->read_rows(name, row_begin, row_count, out);
  const auto found = factors_.find(name);
  if (found == factors_.end()) return;
  const std::size_t cols = out.size() / std::max<std::size_t>(row_count, 1);
  for (std::size_t i = 0; i < row_count; ++i) {
    const float factor = found->second.values[row_begin + i];
    for (std::size_t j = 0; j < cols; ++j) out[i * cols + j] *= factor;
  }
}

const std::vector<float>* TrainedTensors::vector(const std::string& name) const {
  const auto found = vectors_.find(name);
  return found == vectors_.end() ? nullptr : &found->second.values;
}
const std::vector<float>* TrainedTensors::factors(const std::string& name) const {
  const auto found = factors_.find(name);
  return found == factors_.end() ? nullptr : &found->second.values;
}

void TrainedTensors::take_gradient(const std::string& name, std::span<const float> gradient) {
  if (const auto found = vectors_.find(name); found != vectors_.end()) {
    found->second.gradient.assign(gradient.begin(), gradient.end());
    return;
  }
  // dC / d factor_i = sum_j dC / dw_ij w^_ij, w^ before the factor.
  TrainedVector& vector = factors_.find(name)->second;
  const Matrix weight = base_->read(name);
  vector.gradient.assign(weight.rows(), 0);
  parallel_for(
      0, weight.rows(),
      [&](std::size_t i) {
        double sum = 0;
        for (std::size_t j = 0; j < weight.cols(); ++j) {
          sum += static_cast<double>(gradient[i * weight.cols() + j]) * static_cast<double>(weight(i, j));
        }
        vector.gradient[i] = static_cast<float>(sum);
      },
      64);
}

void TrainedTensors::step(int number, double rate) {
  for (auto& entry : vectors_) adam_step(entry.second, number, rate);
  for (auto& entry : factors_) {
    adam_step(entry.second, number, rate);
    for (float& factor : entry.second.values) factor = std::clamp(factor, smallest_factor, largest_factor);
  }
}

std::map<std::string, TrainedVector*> TrainedTensors::all() {
  std::map<std::string, TrainedVector*> result;
  for (auto& [name, vector] : vectors_) result.emplace(name, &vector);
  for (auto& [name, vector] : factors_) result.emplace(name + " rows", &vector);
  return result;
}
std::map<std::string, const TrainedVector*> TrainedTensors::all() const {
  std::map<std::string, const TrainedVector*> result;
  for (const auto& [name, vector] : vectors_) result.emplace(name, &vector);
  for (const auto& [name, vector] : factors_) result.emplace(name + " rows", &vector);
  return result;
}

TrainedTensors::Values TrainedTensors::values() const {
  Values values;
  for (const auto& [name, vector] : all()) values.emplace(name, vector->values);
  return values;
}
void TrainedTensors::set_values(const Values& values) {
  for (const auto& [name, vector] : all()) vector->values = values.at(name);
}

void TrainedTensors::store(Archive& archive, const std::string& prefix) const {
  for (const auto& [name, vector] : all()) {
    Matrix rows(3, vector->values.size());
    std::ranges::copy(vector->values, rows.row(0).begin());
    std::ranges::copy(vector->first, rows.row(1).begin());
    std::ranges::copy(vector->second, rows.row(2).begin());
    archive.write(prefix + name, rows.view());
  }
}
void TrainedTensors::load(const Archive& archive, const std::string& prefix) {
  for (const auto& [name, vector] : all()) {
    const Matrix rows = archive.read(prefix + name);
    std::ranges::copy(rows.row(0), vector->values.begin());
    std::ranges::copy(rows.row(1), vector->first.begin());
    std::ranges::copy(rows.row(2), vector->second.begin());
  }
}

}  // namespace lcomp
