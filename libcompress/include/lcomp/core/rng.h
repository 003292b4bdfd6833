#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lcomp {

// A seeded random stream that gives the same numbers on every machine. xoshiro256** (Blackman and Vigna, 2018), state
// filled by splitmix64; the distributions are ours since the standard library's differ between implementations.
class Rng {
 public:
  explicit Rng(std::uint64_t seed);

  // An independent stream, named by a key; it depends on this stream's seed and the key alone, not on what was drawn so
  // far.
  Rng split(std::uint64_t key) const;
  Rng split(std::string_view key) const;

  std::uint64_t next();                      // uniform over all 64-bit values
  double uniform();                          // [0, 1), multiples of 2^-53
  double uniform(double low, double high);   // [low, high)
  std::uint64_t below(std::uint64_t bound);  // uniform in 0 .. bound - 1, without bias; bound > 0
  double normal();                           // mean 0, variance 1 (polar method)

  // Fisher-Yates, in place.
  template <typename T>
  void shuffle(std::span<T> values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::uint64_t seed_;
  std::array<std::uint64_t, 4> state_;
};

}  // namespace lcomp
