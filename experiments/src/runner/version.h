#pragma once

#include <string>

namespace lcomp {

std::string program_version();  // "0.1.0"
std::string
git_commit();  // of the sources that were built, with "-modified" where files differed; "unknown" outside git
std::string version_text();  // both, for --version

}  // namespace lcomp
