#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

namespace lcomp {

// Exclusive use of the HDF5 library, which is not thread-safe, with its printing of errors turned off; the program's
// own setting comes back at the end of the scope. Every HDF5 call of ours is made under one of these.
class Hdf5Session {
 public:
  Hdf5Session();
  ~Hdf5Session();
  Hdf5Session(const Hdf5Session&) = delete;
  Hdf5Session& operator=(const Hdf5Session&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_data_ = nullptr;
};

// Throws Error with what HDF5 says of its last failure; `where` is a path, `action` what was tried.
[[noreturn]] void fail_hdf5(const std::string& where, const std::string& action);

// An HDF5 identifier, closed by the function that belongs to its kind.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  // Throws Error when `id` is invalid (the call that made it failed).
  Hdf5Handle(hid_t id, Close closer, const std::string& where, const std::string& action) : id_(id), close_(closer) {
    if (id_ < 0) fail_hdf5(where, action);
  }
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&&) = delete;

  hid_t id() const { return id_; }
  // Closes now; false when that fails (a file's last bytes are written when it is closed).
  bool close() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  Close close_;
};

}  // namespace lcomp
