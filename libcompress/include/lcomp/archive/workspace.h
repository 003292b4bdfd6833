#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "lcomp/archive/archive.h"

namespace lcomp {

// What happens to unfinished work of other settings that lies where work is to be kept.
enum class OtherWork {
  refuse,   // an Error that names the folder
  discard,  // it is deleted, and the work begins anew
};

// Unfinished work: a folder where long work keeps what is finished, so that it goes on from there after its process
// died, and a key that says whose work that is. Work goes on only where the key is the same; the one place where that
// is decided. A Workspace without a folder keeps nothing.
//
//   FOLDER/work.json   {"format": "lcomp-work", "version": 1, "key": KEY}      written by claim()
//
// Parts of the work have workspaces of their own within the folder (part()); what finished them deletes nothing but
// with clear(), so that a result is complete before the work that led to it goes.
class Workspace {
 public:
  Workspace() = default;
  // key: everything that decides the result: program, model, data, settings.
  Workspace(std::filesystem::path folder, std::string key, OtherWork other = OtherWork::refuse);

  explicit operator bool() const { return !folder_.empty(); }
  const std::filesystem::path& folder() const { return folder_; }
  const std::string& key() const { return key_; }
  OtherWork other_work() const { return other_; }

  // A part in FOLDER/NAME, of this key and what `key` adds to it. Nothing is kept of the parts of a workspace that
  // keeps nothing.
  Workspace part(std::string_view name, std::string_view key = {}) const;
  // The same place for work that other settings decide too.
  Workspace with_key(std::string key) const;
  // The same place, where other work is not in the way.
  Workspace begun_anew() const;

  // Makes the folder and sees that what lies there is of this key. Where nothing lies beside the mark, nothing is in
  // the way. Other work is deleted but for the entries `kept`, which have keys of their own; or, with
  // OtherWork::refuse, an Error. Nothing for a workspace that keeps nothing.
  void claim(std::initializer_list<std::string_view> kept = {}) const;
  // An archive of this key as FOLDER itself, claimed for writing. An archive of another key, or what is no archive, is
  // deleted or an Error, as above. Only of a workspace that keeps something.
  Archive archive() const;
  // Deletes the folder: the work is done, or is to begin anew.
  void clear() const;

 private:
  std::filesystem::path folder_;
  std::string key_;
  OtherWork other_ = OtherWork::refuse;
};

}  // namespace lcomp
