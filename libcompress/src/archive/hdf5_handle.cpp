#include "archive/hdf5_handle.h"

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

std::mutex& hdf5_mutex() {
  static std::mutex mutex;  // as global as the library that it guards
  return mutex;
}

// Keeps the innermost message that is not empty: it says what the system refused.
herr_t innermost_message(unsigned /*depth*/, const H5E_error2_t* error, void* text) {
  if (error->desc != nullptr && *error->desc != '\0') {
    auto& message = *static_cast<std::string*>(text);
    if (message.empty()) message = error->desc;
  }
  return 0;
}

}  // namespace

Hdf5Session::Hdf5Session() : lock_(hdf5_mutex()) {
  H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Session::~Hdf5Session() { H5Eset_auto2(H5E_DEFAULT, print_, print_data_); }

void fail_hdf5(const std::string& where, const std::string& action) {
  std::string message;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost_message, &message);
  throw Error(ErrorKind::system, {where, action + " failed" + (message.empty() ? "" : ": " + message), "", ""});
}

}  // namespace lcomp
