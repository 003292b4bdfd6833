#pragma once

#include <vector>

#include "commands/option_declaration.h"

namespace lcomp {

// The program `lcomp`: reads the command line, runs one command and turns what it throws into one line on stderr.
// Returns the exit code: 0, 2 for a user's mistake, 1 for a failure, 130 when interrupted.
int run_program(int argc, char** argv);

// All commands with all their options, as data: what help, documents and checks of them are made from.
std::vector<CommandDeclaration> declared_commands();

}  // namespace lcomp
