#include "lcomp/core/rng.h"

#include <bit>
#include <cassert>
#include <cmath>

namespace lcomp {
namespace {

std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

Rng::Rng(std::uint64_t seed) : seed_(seed) {
  std::uint64_t state = seed;
  for (auto& word : state_) word = splitmix64(state);
}

Rng Rng::split(std::uint64_t key) const {
  std::uint64_t a = seed_;
  std::uint64_t b = key ^ 0xd1b54a32d192ed03u;
  const std::uint64_t mixed_seed = splitmix64(a);
  const std::uint64_t mixed_key = splitmix64(b);
  std::uint64_t joined = mixed_seed ^ std::rotl(mixed_key, 32);
  return Rng(splitmix64(joined));
}

Rng Rng::split(std::string_view key) const {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return split(hash);
}

std::uint64_t Rng::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Rng::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

double Rng::uniform(double low, double high) { return low + (high - low) * uniform(); }

std::uint64_t Rng::below(std::uint64_t bound) {
  assert(bound > 0);
  const std::uint64_t limit = (0 - bound) % bound;  // 2^64 mod bound: values under it would favour small results
  for (;;) {
    const std::uint64_t value = next();
    if (value >= limit) return value % bound;
  }
}

double Rng::normal() {
  for (;;) {
    const double x = uniform(-1, 1);
    const double y = uniform(-1, 1);
    const double r = x * x + y * y;
    if (r > 0 && r < 1) return x * std::sqrt(-2 * std::log(r) / r);
  }
}

}  // namespace lcomp
