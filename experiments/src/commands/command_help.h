#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "commands/option_declaration.h"

namespace lcomp {

// Help texts from declarations, no line wider than `width` columns where a break is possible.

// `lcomp compress MODEL --out FOLDER [OPTIONS]`: arguments and required options.
std::string usage(const std::string& program, const CommandDeclaration& command);

// Description, usage, arguments, options in the order of their declaration (those of a group together), examples.
std::string help_text(const std::string& program, const CommandDeclaration& command, std::size_t width);

// Description, usage, and the commands with what each does.
std::string help_text(const std::string& program, const std::string& description,
                      const std::vector<CommandDeclaration>& commands, std::size_t width);

// Columns of the terminal that stdout is; 100 where it is none.
std::size_t help_width();

}  // namespace lcomp
