#include "formats/step_table.h"

namespace lcomp {

RowSteps StepTable::row(std::uint8_t row_step, float base) {
  const std::size_t remainder = row_step % steps_per_octave_;
  std::vector<float>& of_columns = of_remainder_[remainder];
  if (of_columns.empty()) {
    of_columns.reserve(col_steps_.size());
    for (const std::uint8_t col_step : col_steps_) of_columns.push_back(powers_[remainder + col_step]);
  }
  return {base, powers_[row_step - remainder], of_columns.data()};
}

}  // namespace lcomp
