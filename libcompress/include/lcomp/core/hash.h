#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lcomp {

// XXH3 128-bit (xxHash) of a byte stream, as 32 hexadecimal digits. For cache keys and checksums, not for security.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);  // preceded by its length, so that ("ab", "c") differs from ("a", "bc")
  std::string hex() const;

 private:
  void* state_;
};

// XXH3 64-bit of `bytes`.
std::uint64_t hash64(std::span<const std::byte> bytes);
inline std::uint64_t hash64(std::string_view text) { return hash64(std::as_bytes(std::span(text))); }

}  // namespace lcomp
