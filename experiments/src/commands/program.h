#pragma once

namespace lcomp {

// The program `lcomp`: reads the command line, runs one command and turns what it throws into one line on stderr.
// Returns the exit code: 0, 2 for a user's mistake, 1 for a failure, 130 when interrupted.
int run_program(int argc, char** argv);

}  // namespace lcomp
