#pragma once

#include <string>
#include <vector>

#include "lcomp/core/rng.h"

namespace lcomp {

// All 4900 names of two syllables, each a consonant and a vowel, in an order drawn from `rng`; small letters.
std::vector<std::string> invented_names(Rng rng);

// With a capital first letter.
std::string capitalized(std::string name);

}  // namespace lcomp
