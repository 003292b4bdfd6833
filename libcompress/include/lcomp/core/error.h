#pragma once

#include <stdexcept>
#include <string>

namespace lcomp {

// Whose doing an error is; it decides the exit code of the program.
enum class ErrorKind {
  user,    // a file, value or shape that the user can mend: exit code 2
  system,  // a full disk, a failed read, a machine that lacks something: exit code 1
};

// The four parts of an error message. Empty parts are left out of the text.
struct ErrorParts {
  std::string where;     // file, key, tensor or option
  std::string found;     // what was there
  std::string expected;  // what should have been there
  std::string advice;    // what to do about it
};

// The one exception type of the library. what() is a single line: "WHERE: FOUND; expected EXPECTED; ADVICE".
// Control characters and newlines in the parts are replaced by escapes (\n, \x07), since they may come from a damaged
// file.
class Error : public std::runtime_error {
 public:
  explicit Error(ErrorParts parts) : Error(ErrorKind::user, std::move(parts)) {}
  Error(ErrorKind kind, ErrorParts parts);

  ErrorKind kind() const { return kind_; }
  const ErrorParts& parts() const { return parts_; }

 private:
  ErrorKind kind_;
  ErrorParts parts_;
};

// A failed system call: ErrorKind::system, with the text of `error_number` (an errno value) as what was found.
Error system_error(std::string where, std::string action, int error_number);

// Thrown by a progress callback to stop the work (Ctrl-C). Not an Error: nothing is wrong.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

}  // namespace lcomp
