#include "lcomp/version.h"

namespace lcomp {

std::string version() { return LCOMP_VERSION; }

}  // namespace lcomp
