#include "lcomp/archive/archive.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "archive/archive_item.h"
#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/quoted_text.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDescription = "archive.json";
constexpr const char* kLock = "lock";
constexpr const char* kSuffix = ".h5";
constexpr std::size_t kLongestFileName = 200;  // leaves room for the parts of a temporary name

// A file lock that ends with the process, however that ends.
class FolderLock {
 public:
  // Waits for it, or returns nothing when another holder has it.
  static std::optional<FolderLock> take(const fs::path& file, bool wait) {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) throw system_error(file.string(), "opening the lock", errno);
    FolderLock lock(descriptor);
    int result;
    do {
      result = ::flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB));
    } while (result != 0 && errno == EINTR);
    if (result == 0) return lock;
    if (errno == EWOULDBLOCK) return std::nullopt;
    throw system_error(file.string(), "locking", errno);
  }
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderLock& operator=(FolderLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

// Of all names, those too long for the file system included.
bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  fs::directory_iterator at(folder, error);
  while (!error && at != fs::directory_iterator()) {
    files.push_back(at->path().filename().string());
    at.increment(error);
  }
  if (error) throw Error(ErrorKind::system, {folder.string(), "listing the folder failed: " + error.message(), "", ""});
  return files;
}

// "hessian/model.layers.0" -> "hessian%2Fmodel.layers.0.h5"
std::string file_name(const std::string& item) {
  std::string escaped;
  for (const char c : item) {
    if (is_plain(c) && !(escaped.empty() && c == '.')) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  return escaped + kSuffix;
}

std::optional<unsigned> hexadecimal_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return std::nullopt;
}

// The item in a file of this name; nothing for files that are no items (temporary files begin with a dot).
std::optional<std::string> item_name(std::string_view file) {
  const std::string_view suffix = kSuffix;
  if (!file.ends_with(suffix) || file.starts_with('.')) return std::nullopt;
  file.remove_suffix(suffix.size());
  std::string item;
  for (std::size_t i = 0; i < file.size(); ++i) {
    if (file[i] != '%') {
      item += file[i];
      continue;
    }
    if (i + 2 >= file.size()) return std::nullopt;
    const auto high = hexadecimal_digit(file[i + 1]);
    const auto low = hexadecimal_digit(file[i + 2]);
    if (!high || !low) return std::nullopt;
    item += static_cast<char>(16 * *high + *low);
    i += 2;
  }
  return item;
}

void check_description(const fs::path& file, const std::string& key) {
  const nlohmann::json description = parse_json_file(file);
  ConfigReader reader(description, file.string());
  reader.one_of("format", {"lcomp-archive"});
  reader.integer("version", 1, 1);
  const std::string found = reader.string("key");
  reader.finish();
  if (found != key) {
    throw Error({file.parent_path().string(), fmt::format("an archive of something else (key {})", in_quotes(found)),
                 fmt::format("the key {}", in_quotes(key)), "delete the folder, or choose another"});
  }
}

}  // namespace

struct Archive::State {
  fs::path folder;
  ArchiveCompression compression;
  std::optional<FolderLock> lock;

  std::string where() const { return folder.string(); }
  fs::path file_of(std::string_view item) const { return folder / file_name(std::string(item)); }

  // The item's description, verified, of the kind that is asked for.
  ArchiveItem item(const std::string& item, std::optional<ArchiveItemKind> kind) const {
    const fs::path file = file_of(item);
    if (!is_there(file)) throw Error({where(), "no item " + in_quotes(item), "", ""});
    ArchiveItem found = read_archive_item(file, item);
    if (kind && found.kind != *kind) {
      throw Error({where(), fmt::format("item {} is of the kind {}", in_quotes(item), name(found.kind)),
                   std::string(name(*kind)), ""});
    }
    return found;
  }

  void write(ArchiveItem item, std::span<const std::byte> values) {
    take_lock();
    const fs::path file = file_of(item.name);
    const std::size_t length = file.filename().string().size();
    if (item.name.empty() || length > kLongestFileName) {
      throw Error({where(), fmt::format("the item name {}", in_quotes(item.name)),
                   fmt::format("1 to {} bytes (escaped as a file name)", kLongestFileName), ""});
    }
    if (is_there(file)) throw Error({where(), fmt::format("item {} is there already", in_quotes(item.name)), "", ""});
    write_archive_item(file, item, values, compression);
  }

  void take_lock() {
    if (lock) return;
    lock = FolderLock::take(folder / kLock, false);
    if (!lock) {
      throw Error({where(), "another process is writing to this archive", "", "wait for it, or choose another folder"});
    }
    remove_temporary_files();
  }

  // What processes that were killed left behind; nobody else writes here now.
  void remove_temporary_files() const {
    std::error_code ignored;
    for (const std::string& file : files_in(folder)) {
      if (file.starts_with('.') && file.ends_with(".tmp")) fs::remove(folder / file, ignored);
    }
  }
};

Archive::Archive() : state_(std::make_unique<State>()) {}
Archive::~Archive() = default;
Archive::Archive(Archive&&) noexcept = default;
Archive& Archive::operator=(Archive&&) noexcept = default;

Archive Archive::open(const fs::path& path, const std::string& key, ArchiveCompression compression) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!fs::is_directory(path)) {
    throw Error(
        {path.string(), error ? "can't be made: " + error.message() : "is no folder", "a folder for the archive", ""});
  }
  const fs::path description = path / kDescription;
  if (!is_there(description)) {
    const auto files = files_in(path);
    const bool empty = std::all_of(files.begin(), files.end(),
                                   [](const std::string& file) { return file == kLock || file.starts_with('.'); });
    if (!empty) throw Error({path.string(), "a folder without archive.json", "an archive or an empty folder", ""});
    const auto lock = FolderLock::take(path / kLock, true);  // so that of two processes one writes the key
    if (!is_there(description)) {
      write_text_file(description,
                      nlohmann::json({{"format", "lcomp-archive"}, {"version", 1}, {"key", key}}).dump(1) + "\n");
    }
  }
  check_description(description, key);
  Archive archive;
  archive.state_->folder = path;
  archive.state_->compression = compression;
  return archive;
}

void Archive::lock() { state_->take_lock(); }

std::vector<std::string> Archive::names() const {
  std::vector<std::string> names;
  for (const std::string& file : files_in(state_->folder)) {
    if (auto item = item_name(file)) names.push_back(std::move(*item));
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool Archive::contains(std::string_view name) const { return is_there(state_->file_of(name)); }

void Archive::write(const std::string& name, ConstMatrixView values,
                    const std::map<std::string, std::string>& attributes) {
  ArchiveItem item{name, ArchiveItemKind::matrix, values.rows(), values.cols(), attributes};
  if (values.contiguous())
    return state_->write(std::move(item), std::as_bytes(std::span(values.data(), values.size())));
  Matrix packed(values.rows(), values.cols());
  for (std::size_t i = 0; i < values.rows(); ++i)
    std::copy(values.row(i).begin(), values.row(i).end(), packed.row(i).begin());
  state_->write(std::move(item), std::as_bytes(packed.span()));
}

void Archive::write(const std::string& name, std::span<const double> values,
                    const std::map<std::string, std::string>& attributes) {
  state_->write({name, ArchiveItemKind::doubles, values.size(), 1, attributes}, std::as_bytes(values));
}

void Archive::write_bytes(const std::string& name, std::span<const std::byte> bytes,
                          const std::map<std::string, std::string>& attributes) {
  state_->write({name, ArchiveItemKind::bytes, bytes.size(), 1, attributes}, bytes);
}

Matrix Archive::read(const std::string& name) const {
  const ArchiveItem item = state_->item(name, ArchiveItemKind::matrix);
  Matrix values(item.rows, item.cols);
  read_archive_values(state_->file_of(name), item, std::as_writable_bytes(values.span()));
  return values;
}

std::vector<double> Archive::read_doubles(const std::string& name) const {
  const ArchiveItem item = state_->item(name, ArchiveItemKind::doubles);
  std::vector<double> values(item.rows);
  read_archive_values(state_->file_of(name), item, std::as_writable_bytes(std::span(values)));
  return values;
}

std::vector<std::byte> Archive::read_bytes(const std::string& name) const {
  const ArchiveItem item = state_->item(name, ArchiveItemKind::bytes);
  std::vector<std::byte> bytes(item.rows);
  read_archive_values(state_->file_of(name), item, bytes);
  return bytes;
}

std::map<std::string, std::string> Archive::attributes(const std::string& name) const {
  return state_->item(name, std::nullopt).attributes;
}

}  // namespace lcomp
