#include "lcomp/core/error.h"

#include <fmt/format.h>

#include <cstring>

namespace lcomp {
namespace {

std::string one_line(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string message(const ErrorParts& parts) {
  std::string text;
  const auto append = [&text](const char* separator, const char* lead, const std::string& part) {
    if (part.empty()) return;
    if (!text.empty()) text += separator;
    text += lead;
    text += one_line(part);
  };
  append("", "", parts.where);
  append(": ", "", parts.found);
  append("; ", "expected ", parts.expected);
  append("; ", "", parts.advice);
  return text;
}

}  // namespace

Error::Error(ErrorKind kind, ErrorParts parts)
    : std::runtime_error(message(parts)), kind_(kind), parts_(std::move(parts)) {}

Error system_error(std::string where, std::string action, int error_number) {
  const auto kind =
      error_number == ENOENT || error_number == EACCES || error_number == ENOTDIR || error_number == EISDIR
          ? ErrorKind::user
          : ErrorKind::system;
  return Error(kind, {std::move(where), fmt::format("{} failed: {}", action, std::strerror(error_number)), "", ""});
}

}  // namespace lcomp
