#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace lcomp {

// What a component is to be compressed to: exactly one of the first three is set.
struct SizeOrder {
  std::optional<std::size_t> choice;   // one of the sizes that it can have,
  std::optional<double> precision;     // this precision (rate_coded_quantizer.h),
  std::optional<std::uint64_t> bytes;  // or at most so many bytes,
  double tolerance = 0;                // and at most this share below
};

// A byte budget while components are compressed one after the other, in any order, each once.
class SizeBudget {
 public:
  virtual ~SizeBudget() = default;

  // What component `index` should be compressed to, now.
  virtual SizeOrder order(std::size_t index) const = 0;
  // It took so many bytes, at `precision` where that is what was ordered. True when this is far from what was expected:
  // it should be ordered and made again, now that more is known; never true unless may_repeat.
  virtual bool took(std::size_t index, std::uint64_t bytes, std::optional<double> precision, bool may_repeat) = 0;
};

// A budget whose components have all been given one of their sizes beforehand.
class ChosenSizes : public SizeBudget {
 public:
  explicit ChosenSizes(std::vector<std::size_t> choices) : choices_(std::move(choices)) {}

  SizeOrder order(std::size_t index) const override {
    SizeOrder order;
    order.choice = choices_[index];
    return order;
  }
  bool took(std::size_t /*index*/, std::uint64_t /*bytes*/, std::optional<double> /*precision*/,
            bool /*may_repeat*/) override {
    return false;
  }

 private:
  std::vector<std::size_t> choices_;
};

}  // namespace lcomp
