#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "lcomp/quantizers/rate/rate_curve.h"

namespace lcomp {

// How bytes are shared out among rate-coded components.
enum class RateSharing {
  equal_bits,   // the same bits per weight for each
  equal_price,  // the same precision for each: a byte more buys the same fall of cost everywhere
};

// One component as the budget sees it before it is compressed.
struct RateBudgetComponent {
  int kind = 0;  // components that are alike have the same
  std::uint64_t weights = 0;
  std::uint64_t side_bytes = 0;  // steps and the like, about
  RateCurve curve;
  double precision_offset = 0;  // added to the common precision
  double min_bits = 0;          // bits per weight, payload; pinned by the user
  double max_bits = std::numeric_limits<double>::infinity();
};

// Shares a budget out as components are compressed one after the other, in any order, so that the sum meets it although
// the size of each is only known afterwards. Before each, the precision is chosen at which what is left is expected to
// be used up, by the curves times the ratio of true to expected bits of those done so far (by kind: one that is like
// it). The last component takes what is left, exactly.
// With equal_price precisions drift by a hundredth of a bit from first to last, which costs nothing that can be
// measured.
class RateBudget {
 public:
  // budget: bytes for these components. Throws Error when it is less than they take with all weights zero (with
  // min_bits where given), or more than they can take, saying how much that is.
  RateBudget(RateSharing sharing, std::uint64_t budget, std::vector<RateBudgetComponent> components);

  struct Order {
    std::optional<double> precision;     // quantize at this precision,
    std::optional<std::uint64_t> bytes;  // or to at most so many bytes,
    double tolerance = 0;                // and at most this share below
  };
  // What component `index` should be compressed to, now.
  Order order(std::size_t index) const;
  // It took so many bytes, at `precision` where that is what was ordered. True when this is far from what was expected,
  // for the first of its kind: it should be ordered and made again, now that more is known; never true unless
  // may_repeat.
  bool took(std::size_t index, std::uint64_t bytes, std::optional<double> precision, bool may_repeat);

 private:
  double expected_bytes(std::size_t index, double precision) const;
  double price_precision() const;
  double correction(std::size_t index) const;

  RateSharing sharing_;
  double budget_;
  std::uint64_t left_;  // bytes
  std::uint64_t weights_left_ = 0;
  std::vector<RateBudgetComponent> components_;
  std::vector<bool> done_;
  std::size_t open_;
  std::map<int, double> ratios_;  // true over expected bits of codes by kind, weighted towards the latest
};

}  // namespace lcomp
