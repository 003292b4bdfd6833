#include "runner/version.h"

#include "build_version.h"  // written by cmake/build_version.cmake at every build

namespace lcomp {

std::string program_version() { return LCOMP_VERSION; }
std::string git_commit() { return LCOMP_GIT_COMMIT; }
std::string version_text() { return "lcomp " + program_version() + " (" + git_commit() + ")"; }

}  // namespace lcomp
