#include "lcomp/version.h"

#include <gtest/gtest.h>

namespace lcomp {
namespace {

TEST(Version, NumbersAreThoseOfTheText) {
  EXPECT_EQ(version(), std::to_string(LCOMP_VERSION_MAJOR) + "." + std::to_string(LCOMP_VERSION_MINOR) + "." +
                           std::to_string(LCOMP_VERSION_PATCH));
  EXPECT_EQ(version(), LCOMP_VERSION);
}

TEST(Version, TextHasTheCommit) { EXPECT_EQ(version_text(), "lcomp " + version() + " (" + git_commit() + ")"); }

}  // namespace
}  // namespace lcomp
