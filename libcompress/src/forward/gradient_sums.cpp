#include "forward/gradient_sums.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "forward/linear.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/value_range.h"

namespace lcomp {
namespace {

// A piece of a tensor's gradient: rows from row_begin on.
struct GradientRows {
  const TensorSlice* slice;
  std::span<const float> values;
};

// Puts the pieces of each tensor together. They follow each other in the order of `pieces`; most often they are the
// tensor, or its halves side by side in memory.
void hand_over_pieces(const TensorSource& weights, std::span<const GradientRows> pieces, GradientVisitor& visitor) {
  for (std::size_t first = 0; first < pieces.size();) {
    const std::string& name = pieces[first].slice->tensor;
    std::size_t last = first, rows = 0;
    bool adjacent = true;
    while (last < pieces.size() && pieces[last].slice->tensor == name) {
      adjacent = adjacent && pieces[last].slice->row_begin == rows &&
                 (last == first ||
                  pieces[last - 1].values.data() + pieces[last - 1].values.size() == pieces[last].values.data());
      rows += pieces[last].slice->rows;
      ++last;
    }
    const std::size_t cols = pieces[first].slice->cols, all = weights.info(name).elements();
    if (adjacent && rows * cols == all) {
      hand_over(weights, name, {pieces[first].values.data(), all}, visitor);
    } else {
      std::vector<float> whole(all, 0.0F);
      for (std::size_t i = first; i < last; ++i) {
        std::ranges::copy(pieces[i].values,
                          whole.begin() + static_cast<std::ptrdiff_t>(pieces[i].slice->row_begin * cols));
      }
      hand_over(weights, name, whole, visitor);
    }
    first = last;
  }
}

void append_name(const TensorSlice& slice, std::vector<std::string>& names) {
  if (!slice.tensor.empty() && (names.empty() || names.back() != slice.tensor)) names.push_back(slice.tensor);
}

}  // namespace

void hand_over(const TensorSource& weights, const std::string& name, std::span<const float> gradient,
               GradientVisitor& visitor) {
  if (!value_range(gradient).finite) {
    throw Error({weights.where(), fmt::format("the gradient of \"{}\" holds NaN or infinity", name), "finite values",
                 "the cost may be too steep for float32"});
  }
  visitor.tensor_gradient(name, weights.info(name).shape, gradient);
}

void LinearGradientSums::begin(std::span<const LinearSlices* const> parts, GradientVisitor& visitor) {
  parts_.clear();
  wanted_rows_ = 0;
  nothing_added_ = true;
  std::size_t outputs = 0;
  bool any_bias = false;
  for (const LinearSlices* slices : parts) {
    Part part{slices, outputs};
    part.weight_wanted = visitor.wants_tensor(slices->weight.tensor);
    part.bias_wanted = !slices->bias.tensor.empty() && visitor.wants_tensor(slices->bias.tensor);
    part.sum_row = wanted_rows_;
    if (part.weight_wanted) wanted_rows_ += slices->weight.rows;
    any_bias = any_bias || part.bias_wanted;
    outputs += slices->weight.rows;
    parts_.push_back(part);
  }
  const std::size_t size = wanted_rows_ * parts.front()->weight.cols;
  if (weights_.size() < size) weights_ = AlignedBuffer<float>(size);
  biases_.assign(any_bias ? outputs : 0, 0.0);
}

void LinearGradientSums::add(ConstMatrixView input, ConstMatrixView output_gradient) {
  if (input.rows() == 0) return;
  const std::size_t cols = input.cols();
  // Neighbouring parts that are wanted are one product.
  for (std::size_t first = 0; first < parts_.size();) {
    if (!parts_[first].weight_wanted) {
      ++first;
      continue;
    }
    std::size_t last = first, rows = 0;
    while (last < parts_.size() && parts_[last].weight_wanted) rows += parts_[last++].slices->weight.rows;
    const MatrixView<float> sum(weights_.data() + parts_[first].sum_row * cols, rows, cols);
    multiply_transposed(output_gradient.cols_range(parts_[first].begin, rows), input, !nothing_added_, sum);
    first = last;
  }
  nothing_added_ = false;
  if (biases_.empty()) return;
  parallel_chunks(0, biases_.size(), 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = 0; t < output_gradient.rows(); ++t) {
      const float* row = output_gradient.row(t).data();
      for (std::size_t j = begin; j < end; ++j) biases_[j] += static_cast<double>(row[j]);
    }
  });
}

void LinearGradientSums::hand_over(const TensorSource& weights, GradientVisitor& visitor) const {
  const std::size_t cols = parts_.front().slices->weight.cols;
  std::vector<GradientRows> pieces;
  std::vector<float> zeros;  // where no token was added
  if (nothing_added_) zeros.assign(wanted_rows_ * cols, 0.0F);
  const std::span<const float> sums = nothing_added_ ? std::span<const float>(zeros) : weights_.span();
  for (const Part& part : parts_) {
    if (part.weight_wanted) {
      pieces.push_back({&part.slices->weight, sums.subspan(part.sum_row * cols, part.slices->weight.rows * cols)});
    }
  }
  hand_over_pieces(weights, pieces, visitor);
  pieces.clear();
  const std::vector<float> biases(biases_.begin(), biases_.end());
  for (const Part& part : parts_) {
    if (part.bias_wanted) {
      pieces.push_back({&part.slices->bias, std::span(biases).subspan(part.begin, part.slices->bias.rows)});
    }
  }
  hand_over_pieces(weights, pieces, visitor);
}

void LinearGradientSums::append_names(std::span<const LinearSlices* const> parts, std::vector<std::string>& names) {
  for (const LinearSlices* part : parts) append_name(part->weight, names);
  for (const LinearSlices* part : parts) append_name(part->bias, names);
}

void NormGradientSums::begin(const NormSlices& slices, GradientVisitor& visitor) {
  slices_ = &slices;
  const auto zeros = [&](const TensorSlice& slice) {
    return std::vector<double>(!slice.tensor.empty() && visitor.wants_tensor(slice.tensor) ? slice.rows : 0);
  };
  gain_ = zeros(slices.gain);
  bias_ = zeros(slices.bias);
}

void NormGradientSums::hand_over(const TensorSource& weights, GradientVisitor& visitor) const {
  if (slices_ == nullptr) return;
  for (const auto& [slice, sums] : {std::pair(&slices_->gain, &gain_), std::pair(&slices_->bias, &bias_)}) {
    if (sums->empty()) continue;
    const std::vector<float> values(sums->begin(), sums->end());
    const GradientRows rows{slice, values};
    hand_over_pieces(weights, {&rows, 1}, visitor);
  }
}

void NormGradientSums::append_names(const NormSlices& slices, std::vector<std::string>& names) {
  append_name(slices.gain, names);
  append_name(slices.bias, names);
}

}  // namespace lcomp
