#include "lcomp/version.h"

#include "git_commit.h"  // written by cmake/git_commit.cmake at every build

namespace lcomp {

std::string version() { return LCOMP_VERSION; }
std::string git_commit() { return LCOMP_GIT_COMMIT; }
std::string version_text() { return "lcomp " + version() + " (" + git_commit() + ")"; }

}  // namespace lcomp
