#include "sensitivity_sums.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

constexpr std::size_t columns_together = 64;

std::vector<float> over(const std::vector<double>& sums, double tokens) {
  std::vector<float> values(sums.size());
  std::transform(sums.begin(), sums.end(), values.begin(), [&](double s) { return static_cast<float>(s / tokens); });
  return values;
}

double sum_of_squares(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum;
}

// For every column j of `values`: sums[j] += sum_t weights[t] values(t, j)^2, in the order of the tokens.
void add_weighted_squares(ConstMatrixView values, std::span<const double> weights, std::vector<double>& sums) {
  parallel_chunks(0, values.cols(), columns_together, [&](std::size_t first, std::size_t last) {
    for (std::size_t t = 0; t < values.rows(); ++t) {
      const float* row = values.row(t).data();
      for (std::size_t j = first; j < last; ++j) {
        const auto v = static_cast<double>(row[j]);
        sums[j] += weights[t] * v * v;
      }
    }
  });
}

}  // namespace

std::size_t row_group_begin(std::size_t rows, std::size_t groups, std::size_t k) {
  assert(k <= groups);
  return rows / groups * k + std::min(k, rows % groups);
}

SensitivitySums::SensitivitySums(std::size_t out_features, std::size_t in_features, std::size_t groups)
    : outputs_(out_features, 0.0), rows_(out_features, 0.0), columns_(in_features, 0.0) {
  for (std::size_t k = 0; k < std::min(groups, out_features); ++k) hessians_.emplace_back(in_features);
}

void SensitivitySums::add(ConstMatrixView input, ConstMatrixView output_gradient, double scored) {
  assert(input.rows() == output_gradient.rows() && output_gradient.cols() == outputs_.size());
  const std::size_t tokens = input.rows();
  std::vector<double> input_squares(tokens), gradient_squares(tokens);
  const std::vector<double> units(tokens, scored * scored);
  parallel_for(
      0, tokens,
      [&](std::size_t t) {
        input_squares[t] = scored * scored * sum_of_squares(input.row(t));
        gradient_squares[t] = scored * scored * sum_of_squares(output_gradient.row(t));
      },
      16);
  add_weighted_squares(output_gradient, units, outputs_);
  add_weighted_squares(output_gradient, input_squares, rows_);
  add_weighted_squares(input, gradient_squares, columns_);

  if (hessians_.empty()) return;
  if (weighted_.rows() < tokens || weighted_.cols() != input.cols()) weighted_ = Matrix(tokens, input.cols());
  for (std::size_t k = 0; k < hessians_.size(); ++k) {
    const std::size_t begin = row_group_begin(outputs_.size(), hessians_.size(), k);
    const std::size_t count = row_group_begin(outputs_.size(), hessians_.size(), k + 1) - begin;
    parallel_for(
        0, tokens,
        [&](std::size_t t) {
          const double mean = sum_of_squares(output_gradient.row(t).subspan(begin, count)) / static_cast<double>(count);
          const auto factor = static_cast<float>(scored * std::sqrt(mean));
          const std::span<const float> x = input.row(t);
          const std::span<float> out = weighted_.row(t);
          for (std::size_t j = 0; j < x.size(); ++j) out[j] = factor * x[j];
        },
        16);
    hessians_[k].add(weighted_.view().rows_range(0, tokens));
  }
}

void SensitivitySums::add_embedding(std::span<const std::int32_t> ids, ConstMatrixView gradient, double scored) {
  assert(ids.size() == gradient.rows() && gradient.cols() == columns_.size());
  const std::vector<double> units(ids.size(), scored * scored);
  add_weighted_squares(gradient, units, columns_);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    rows_[static_cast<std::size_t>(ids[t])] += scored * scored * sum_of_squares(gradient.row(t));
  }
}

Sensitivity SensitivitySums::sensitivity(std::size_t tokens) const {
  const auto n = static_cast<double>(tokens);
  return {over(outputs_, n), over(rows_, n), over(columns_, n)};
}

Matrix SensitivitySums::hessian_triangle(std::size_t k, std::size_t tokens) {
  HessianAccumulator& sums = hessians_[k];
  Matrix triangle(HessianAccumulator::triangle_size(sums.in_features()), 1);
  sums.lower_triangle(triangle.span());  // over the tokens that were seen
  const auto share = static_cast<float>(static_cast<double>(sums.tokens()) / static_cast<double>(tokens));
  if (sums.tokens() != tokens) {
    for (float& value : triangle.span()) value *= share;
  }
  return triangle;
}

}  // namespace lcomp
