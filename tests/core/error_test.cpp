#include "lcomp/core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace lcomp {
namespace {

using ::testing::HasSubstr;

TEST(Error, JoinsItsParts) {
  EXPECT_STREQ(Error({"file", "found 3", "4", "write 4"}).what(), "file: found 3; expected 4; write 4");
  EXPECT_STREQ(Error({"file", "found 3", "4", ""}).what(), "file: found 3; expected 4");
  EXPECT_STREQ(Error({"file", "found 3", "", "write 4"}).what(), "file: found 3; write 4");
  EXPECT_STREQ(Error({"", "found 3", "", ""}).what(), "found 3");
  EXPECT_STREQ(Error({"file", "", "4", ""}).what(), "file; expected 4");
}

TEST(Error, IsOneLineWhateverTheFileHeld) {
  const Error error({"a\nb", std::string("\0\x1b[31m\x7f\r", 8), "\t", "\u00e9"});
  EXPECT_EQ(std::string(error.what()), "a\\nb: \\x00\\x1b[31m\\x7f\\x0d; expected \\x09; \u00e9");
  EXPECT_EQ(error.parts().where, "a\nb");
}

TEST(Error, IsTheUsersUnlessSaidOtherwise) {
  EXPECT_EQ(Error({"x", "", "", ""}).kind(), ErrorKind::user);
  EXPECT_EQ(Error(ErrorKind::system, {"x", "", "", ""}).kind(), ErrorKind::system);
}

TEST(Error, SystemErrorsSayWhatTheSystemSaid) {
  const Error full = system_error("out", "writing", ENOSPC);
  EXPECT_EQ(full.kind(), ErrorKind::system);
  EXPECT_THAT(full.what(), HasSubstr("out: writing failed: No space left"));
  EXPECT_EQ(system_error("in", "opening", ENOENT).kind(), ErrorKind::user);
  EXPECT_EQ(system_error("in", "opening", EACCES).kind(), ErrorKind::user);
}

TEST(Interrupted, IsNoError) {
  try {
    throw Interrupted();
  } catch (const Error&) {
    FAIL();
  } catch (const std::runtime_error&) {
  }
}

}  // namespace
}  // namespace lcomp
