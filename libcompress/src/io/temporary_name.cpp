#include "lcomp/io/temporary_name.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace lcomp {

std::filesystem::path temporary_sibling(const std::filesystem::path& path) {
  static std::atomic<std::uint64_t> count = 0;
  return path.parent_path() / fmt::format(".{}.{}-{}.tmp", path.filename().string(), ::getpid(), count++);
}

bool is_temporary_sibling(const std::filesystem::path& name, const std::filesystem::path& of) {
  const std::string text = name.string(), prefix = fmt::format(".{}.", of.string());
  constexpr std::string_view suffix = ".tmp";
  if (text.size() <= prefix.size() + suffix.size() || !text.starts_with(prefix) || !text.ends_with(suffix))
    return false;
  const std::string number = text.substr(prefix.size(), text.size() - prefix.size() - suffix.size());
  const std::size_t dash = number.find('-');
  const auto digits = [](std::string_view s) { return !s.empty() && s.find_first_not_of("0123456789") == s.npos; };
  return dash != std::string::npos && digits(std::string_view(number).substr(0, dash)) &&
         digits(std::string_view(number).substr(dash + 1));
}

void synchronize_folder(const std::filesystem::path& folder) noexcept {
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace lcomp
