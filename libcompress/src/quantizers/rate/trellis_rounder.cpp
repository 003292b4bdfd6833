#include "quantizers/rate/trellis_rounder.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <vector>

namespace lcomp {
namespace {

constexpr float unreachable = 1.0e30f;
// Beyond, neighbouring floats are further apart than levels.
constexpr float largest_level = 8388608.0f;  // 2^23

// A code with its price, the best of those that lead on in the same way.
struct Choice {
  float price = unreachable;
  std::int32_t code = 0;
};

class TrellisRounder : public ColumnRounder {
 public:
  TrellisRounder(const TrellisRounding& rounding, std::size_t first_row, std::size_t row_count)
      : rounding_(rounding),
        trellis_(rounding.trellis),
        first_row_(first_row),
        choices_(4 * std::min(row_count, rounding.chain_rows)),
        origins_(std::min(row_count, rounding.chain_rows) * trellis_.states()),
        costs_(trellis_.states()),
        next_costs_(trellis_.states()) {
    assert(first_row % rounding.chain_rows == 0);
    for (std::uint32_t state = 0; state < trellis_.states(); ++state) {
      for (std::int32_t odd = 0; odd < 2; ++odd) targets_.push_back(trellis_.next(state, odd));
    }
  }

  void round(std::size_t position, std::span<const float> values, std::span<float> decoded) override {
    const std::size_t column = rounding_.order[position];
    for (std::size_t begin = 0; begin < values.size(); begin += rounding_.chain_rows) {
      const std::size_t count = std::min(rounding_.chain_rows, values.size() - begin);
      const std::span<const float> chain = values.subspan(begin, count);
      if (trellis_.memory() == 0) {
        round_each(column, begin, chain, decoded.subspan(begin, count));
      } else {
        round_chain(column, begin, chain, decoded.subspan(begin, count));
      }
    }
  }

 private:
  float step(std::size_t row, std::size_t column) const {
    return rounding_.row_steps[first_row_ + row] * rounding_.col_steps[column];
  }
  const float* rates(std::size_t row, std::size_t column, int parity) const {
    const float magnitude = rounding_.row_magnitudes[first_row_ + row] + rounding_.col_magnitudes[column];
    return rounding_.rates->table(parity, CodeRates::class_of(static_cast<double>(magnitude)));
  }
  void store(std::size_t row, std::size_t column, std::int32_t code, std::int32_t level, float& decoded) {
    rounding_.codes(first_row_ + row, column) = code;
    decoded = static_cast<float>(level) * step(row, column);
  }
  static float level_of(float value, float step) { return std::clamp(value / step, -largest_level, largest_level); }

  // Levels first + 0, stride, 2 stride ...: the two around `target`.
  void try_around(float target, std::int32_t first, std::int32_t stride, const float* table, std::int32_t spacing,
                  Choice& best) const {
    const float below = std::floor((target - static_cast<float>(first)) / static_cast<float>(stride));
    for (std::int32_t more = 0; more < 2; ++more) {
      const std::int32_t level = first + (static_cast<std::int32_t>(below) + more) * stride;
      const std::int32_t code = spacing == 1 ? level : (level - (level & 1)) / 2;
      const float error = target - static_cast<float>(level);
      const float price = error * error + rounding_.bit_price * CodeRates::bits(table, code);
      if (price < best.price) best = {price, code};
    }
  }

  void round_each(std::size_t column, std::size_t begin, std::span<const float> values, std::span<float> decoded) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      Choice best;
      try_around(level_of(values[i], step(begin + i, column)), 0, 1, rates(begin + i, column, 0), 1, best);
      store(begin + i, column, best.code, best.code, decoded[i]);
    }
  }

  void round_chain(std::size_t column, std::size_t begin, std::span<const float> values, std::span<float> decoded) {
    const std::uint32_t states = trellis_.states();
    std::fill(costs_.begin(), costs_.end(), unreachable);
    costs_[0] = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      // Of each state parity, the best odd and the best even code: levels of one remainder modulo 4.
      Choice* choices = choices_.data() + 4 * i;
      const float target = level_of(values[i], step(begin + i, column));
      for (std::int32_t parity = 0; parity < 2; ++parity) {
        const float* table = rates(begin + i, column, parity);
        for (std::int32_t odd = 0; odd < 2; ++odd) {
          Choice& best = choices[2 * parity + odd];
          best = {};
          try_around(target, parity + 2 * odd, 4, table, 2, best);
        }
      }
      std::uint8_t* origins = origins_.data() + i * states;
      std::fill(next_costs_.begin(), next_costs_.end(), unreachable);
      for (std::uint32_t state = 0; state < states; ++state) {
        for (std::uint32_t odd = 0; odd < 2; ++odd) {
          const std::uint32_t target_state = targets_[2 * state + odd];
          const float cost = costs_[state] + choices[2 * (state & 1u) + odd].price;
          if (cost < next_costs_[target_state]) {
            next_costs_[target_state] = cost;
            origins[target_state] = static_cast<std::uint8_t>(2 * state + odd);
          }
        }
      }
      // Relative to the least, so that long chains and large errors lose no digits.
      const float least = *std::min_element(next_costs_.begin(), next_costs_.end());
      for (std::uint32_t state = 0; state < states; ++state) {
        costs_[state] = std::min(unreachable, next_costs_[state] - least);
      }
    }
    std::size_t state = static_cast<std::size_t>(std::min_element(costs_.begin(), costs_.end()) - costs_.begin());
    for (std::size_t i = values.size(); i-- > 0;) {
      const std::uint8_t origin = origins_[i * states + state];
      state = origin / 2;
      const std::int32_t code = choices_[4 * i + 2 * (state & 1u) + (origin & 1u)].code;
      store(begin + i, column, code, trellis_.level(static_cast<std::uint32_t>(state), code), decoded[i]);
    }
  }

  const TrellisRounding& rounding_;
  const Trellis trellis_;
  const std::size_t first_row_;
  std::vector<Choice> choices_;        // [chain, 2 state parities, 2 code parities]
  std::vector<std::uint8_t> origins_;  // [chain, states]: 2 * the state before + whether the code is odd
  std::vector<float> costs_, next_costs_;
  std::vector<std::uint32_t> targets_;  // [states, 2]
};

}  // namespace

std::unique_ptr<ColumnRounder> make_trellis_rounder(const TrellisRounding& rounding, std::size_t first_row,
                                                    std::size_t row_count) {
  return std::make_unique<TrellisRounder>(rounding, first_row, row_count);
}

}  // namespace lcomp
