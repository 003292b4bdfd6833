#include "lcomp/archive/workspace.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr const char* mark = "work.json";
constexpr const char* format = "lcomp-work";
constexpr std::int64_t version = 1;

void make_folder(const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw system_error(folder.string(), "making the folder", failure.value());
}

[[noreturn]] void refuse(const fs::path& folder) {
  throw Error({folder.string(), "the unfinished work of another compression", "that of this model and setting",
               "delete the folder, choose another --out, or use --replace"});
}

// Whether the folder's mark is of this key; also false for a mark that can't be read.
bool has_key(const fs::path& file, const std::string& key) {
  try {
    const nlohmann::json json = parse_json_file(file);
    ConfigReader reader(json, file.string());
    reader.one_of("format", {format});
    reader.integer("version", version, version);
    const bool same = reader.string("key") == key;
    reader.finish();
    return same;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Workspace::Workspace(fs::path folder, std::string key, OtherWork other)
    : folder_(std::move(folder)), key_(std::move(key)), other_(other) {}

Workspace Workspace::part(std::string_view name, std::string_view key) const {
  if (!*this) return {};
  Workspace inner = *this;
  inner.folder_ /= name;
  if (!key.empty()) inner.key_.append("\n").append(key);
  return inner;
}

Workspace Workspace::with_key(std::string key) const {
  Workspace same_place = *this;
  same_place.key_ = std::move(key);
  return same_place;
}

Workspace Workspace::begun_anew() const {
  Workspace same_place = *this;
  same_place.other_ = OtherWork::discard;
  return same_place;
}

void Workspace::claim(std::initializer_list<std::string_view> kept) const {
  if (!*this) return;
  const fs::path file = folder_ / mark;
  if (fs::exists(file) && has_key(file, key_)) return;
  make_folder(folder_);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name == mark || std::ranges::find(kept, name) != kept.end()) continue;
    if (other_ == OtherWork::refuse) refuse(folder_);
    fs::remove_all(entry.path());
  }
  write_text_file(file, nlohmann::json({{"format", format}, {"version", version}, {"key", key_}}).dump(1) + "\n");
}

Archive Workspace::archive() const {
  make_folder(folder_.parent_path());
  const auto open = [&] { return Archive::open(folder_, key_, ArchiveCompression::none); };
  std::optional<Archive> archive;
  try {
    archive = open();
  } catch (const Error&) {
    if (other_ == OtherWork::refuse) refuse(folder_);
  }
  if (!archive) {
    fs::remove_all(folder_);
    archive = open();
  }
  archive->lock();  // refused while another process has it, whatever the key
  return std::move(*archive);
}

void Workspace::clear() const {
  if (*this) fs::remove_all(folder_);
}

}  // namespace lcomp
