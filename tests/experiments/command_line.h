#pragma once

#include <string>
#include <vector>

namespace lcomp::testing {

struct CommandResult {
  int exit_code = 0;  // 128 + signal when killed
  std::string out;
  std::string err;
};

struct CommandLimits {
  long file_size = -1;                // RLIMIT_FSIZE, bytes: what a full disk looks like to a program
  int interrupt_after_ms = 0;         // sends SIGINT after so long
  std::string kill_when_exists = {};  // kills (SIGKILL) a moment after a file of this name is there
};

// Runs the program `lcomp` with these arguments as a child process and waits for it.
CommandResult run_lcomp(const std::vector<std::string>& arguments, const CommandLimits& limits = {});

}  // namespace lcomp::testing
