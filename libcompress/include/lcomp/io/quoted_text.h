#pragma once

#include <string>
#include <string_view>

namespace lcomp {

// Text from a file, in double quotes, for an error message: at most 80 bytes of it, cut between characters and marked
// "...".
std::string in_quotes(std::string_view text);

// The same without the quotes.
std::string abbreviated(std::string_view text);

}  // namespace lcomp
