#include "invented_names.h"

#include <span>
#include <string_view>

namespace lcomp {

std::vector<std::string> invented_names(Rng rng) {
  constexpr std::string_view consonants = "bdfgklmnprstvz", vowels = "aeiou";
  std::vector<std::string> names;
  for (const char a : consonants) {
    for (const char b : vowels) {
      for (const char c : consonants) {
        for (const char d : vowels) names.push_back({a, b, c, d});
      }
    }
  }
  rng.shuffle(std::span(names));
  return names;
}

std::string capitalized(std::string name) {
  if (name[0] >= 'a' && name[0] <= 'z') name[0] = static_cast<char>(name[0] - 'a' + 'A');
  return name;
}

}  // namespace lcomp
