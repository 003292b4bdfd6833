#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace lcomp {

// values = exp(values - maximum), float32 within an ulp, and their sum in double.
struct RowExponentials {
  float maximum = 0;
  double sum = 0;
};
RowExponentials exponentiate_row(std::span<float> values);

// values *= factor.
void scale_row(std::span<float> values, float factor);

// Calls row_cost(i) for every row, shared out over the threads, and adds up what it returns in the order of rows.
double sum_over_rows(std::size_t rows, const std::function<double(std::size_t)>& row_cost);

// Throws Error unless 0 <= id < vocabulary.
void check_cost_id(std::int32_t id, std::size_t vocabulary);

}  // namespace lcomp
