#pragma once

#include <functional>
#include <string>

#include "lcomp/core/error.h"

namespace lcomp::testing {

// What the Error that `action` throws says, or "no error".
inline std::string message(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace lcomp::testing
