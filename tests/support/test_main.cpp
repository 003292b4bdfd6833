#include <gtest/gtest.h>

#include <cstdlib>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  // The same cases of every property in every run; RC_PARAMS="seed=..." or "max_success=..." in the environment decides
  // otherwise.
  setenv("RC_PARAMS", "seed=20260701", 0);
  return RUN_ALL_TESTS();
}
