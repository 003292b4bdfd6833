#pragma once

#include <nlohmann/json.hpp>

namespace lcomp {

// What a result depends on besides its configuration: processor, instruction sets, threads, memory, operating system,
// compiler, libraries, and the commit that was built.
nlohmann::json describe_environment();

}  // namespace lcomp
