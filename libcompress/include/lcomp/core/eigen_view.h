#pragma once

#include <Eigen/Core>
#include <concepts>
#include <ranges>
#include <type_traits>

#include "lcomp/core/matrix.h"

namespace lcomp {

// Views and spans as Eigen sees them, where a formula reads better as one:
//   as_eigen(error.view()).diagonal() = scale * as_eigen(columns);
// Nothing is copied: a map has the data pointer and the stride of its view, and lives no longer than the memory.
// Functions take MatrixView and std::span, and map inside: Eigen::Ref<const RowMajorMatrix> would copy a column-major
// matrix without a word.
//
// float32 data is summed in double by cast<double>() in the expression. Eigen adds up such an expression element by
// element, in order, as a loop would; values that lie in memory as the sum takes them it adds in vectors, in another
// order, so that last bits may differ from a loop's. Results don't depend on the number of threads: Eigen uses one
// (EIGEN_DONT_PARALLELIZE), parallel_for decides. Large products are for OpenBLAS and oneDNN: without -march Eigen's
// are SSE2.
template <typename T>
concept EigenScalar = std::same_as<T, float> || std::same_as<T, double>;

template <EigenScalar T>
using RowMajorMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Mapped: `Plain`, or const Plain where T is const.
template <typename Plain, typename T>
using MappedAs = std::conditional_t<std::is_const_v<T>, const Plain, Plain>;

// [rows, cols], row-major, of a view with any stride.
template <typename T>
requires EigenScalar<std::remove_const_t<T>>
auto as_eigen(MatrixView<T> view) {
  using Map = Eigen::Map<MappedAs<RowMajorMatrix<std::remove_const_t<T>>, T>, Eigen::Unaligned, Eigen::OuterStride<>>;
  const auto index = [](std::size_t size) { return static_cast<Eigen::Index>(size); };
  return Map(view.data(), index(view.rows()), index(view.cols()), Eigen::OuterStride<>(index(view.stride())));
}

// A column vector [size] of a span, or of a vector that stays where it is.
template <std::ranges::contiguous_range Values>
requires std::ranges::borrowed_range<Values> && EigenScalar<std::ranges::range_value_t<Values>>
auto as_eigen(Values&& values) {
  using T = std::remove_reference_t<std::ranges::range_reference_t<Values>>;
  using Map = Eigen::Map<MappedAs<Eigen::VectorX<std::remove_const_t<T>>, T>>;
  return Map(std::ranges::data(values), static_cast<Eigen::Index>(std::ranges::size(values)));
}

}  // namespace lcomp
