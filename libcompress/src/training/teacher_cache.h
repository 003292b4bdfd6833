#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "lcomp/forward/cost.h"

namespace lcomp {

// What a teacher says of sequences, kept in a file: its most likely tokens after each, so that further passes over the
// same texts, and further trainings on them, run the teacher no more. 8 bytes for each of these tokens and 4 for each
// position of a sequence. Records are appended; one that a process was killed in, and all after it, are cut off when
// the file is opened.
class TeacherCache {
 public:
  // Opens or creates. key: teacher and number of tokens. Throws Error naming the file: the cache of another key, no
  // cache at all, a folder that can't be written.
  TeacherCache(std::filesystem::path file, const std::string& key);
  ~TeacherCache();
  TeacherCache(const TeacherCache&) = delete;
  TeacherCache& operator=(const TeacherCache&) = delete;

  // A sequence and the positions whose successor counts (weight above 0): what a record is found by.
  static std::uint64_t record_key(std::span<const std::int32_t> sequence, std::span<const float> weights);
  bool contains(std::uint64_t record) const { return places_.contains(record); }
  std::size_t records() const { return places_.size(); }
  // Appends the record's tokens to `tokens`. Throws Error where the file is damaged.
  void read(std::uint64_t record, TopTokens& tokens) const;
  // Adds those of positions [begin, end) of `tokens`. Throws Error (ErrorKind::system) when the disk is full; nothing
  // is added then.
  void write(std::uint64_t record, const TopTokens& tokens, std::size_t begin, std::size_t end);

 private:
  struct Place {
    std::uint64_t at = 0, bytes = 0;  // of the record's body
  };
  void create(const std::string& key);
  void scan(const std::string& key);
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path file_;
  int descriptor_ = -1;
  std::uint64_t end_ = 0;
  std::unordered_map<std::uint64_t, Place> places_;
};

}  // namespace lcomp
