#pragma once

#include <string>

// The version of these headers, by https://semver.org: before 1.0.0 a new minor version may change interfaces. The
// build takes its version from here.
#define LCOMP_VERSION "0.1.0"
#define LCOMP_VERSION_MAJOR 0
#define LCOMP_VERSION_MINOR 1
#define LCOMP_VERSION_PATCH 0

namespace lcomp {

// The version of the library that the program is linked to: LCOMP_VERSION, unless headers and library don't belong
// together.
std::string version();

// The git commit of the sources that the library was built from, with "-modified" where files differed from it;
// "unknown" where they were built outside of their repository.
std::string git_commit();

// Both, for messages: "lcomp 0.1.0 (0123456789ab)".
std::string version_text();

}  // namespace lcomp
