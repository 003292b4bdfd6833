#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace lcomp {

// Parses a JSON file or text strictly: duplicate keys, comments, trailing commas, NaN, numbers that no double holds,
// text that is not UTF-8, a byte order mark, and nesting deeper than 100 are Errors that say line and column (in
// characters, from 1). `where` is the name that they begin with, such as the file's.
nlohmann::json parse_json_file(const std::filesystem::path& path);
nlohmann::json parse_json(std::string_view text, const std::string& where);

// Reads one JSON object strictly. Every key must be asked for: finish(), to be called when all were, reports the others
// with the nearest known key and all known ones. Errors name the key's full path, what was found and what is allowed:
//   first_table.json: methods[2].group_size: found 4.7; expected an integer in 1 .. 1048576
// Numbers are not converted: 4.7 and 4.0 are no integers, true is no number; an integer is accepted where a real number
// is asked for. Ranges include both ends. The object must outlive the reader. Not for use from several threads at once.
class ConfigReader {
 public:
  // `where`: the file's name, or where(key) of the reader that has the object under `key`. Throws Error when it is not
  // an object.
  ConfigReader(const nlohmann::json& object, std::string where);

  bool has(std::string_view key) const;  // present and not null; counts as asking for it
  const std::string& where() const { return where_; }
  std::string where(std::string_view key) const;  // the key's full path: "FILE: KEY", or "FILE: PATH.KEY" further down

  // Required values.
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high);
  double real(std::string_view key, double low, double high);
  bool boolean(std::string_view key);
  std::string string(std::string_view key);
  std::string one_of(std::string_view key, const std::vector<std::string>& allowed);
  const nlohmann::json& object(std::string_view key);
  const nlohmann::json& array(std::string_view key);
  const nlohmann::json& any(std::string_view key);
  // The same with a default for an absent key (null counts as absent).
  std::int64_t integer_or(std::string_view key, std::int64_t otherwise, std::int64_t low, std::int64_t high);
  double real_or(std::string_view key, double otherwise, double low, double high);
  bool boolean_or(std::string_view key, bool otherwise);
  std::string string_or(std::string_view key, std::string otherwise);
  std::string one_of_or(std::string_view key, std::string otherwise, const std::vector<std::string>& allowed);

  std::vector<std::string> strings(std::string_view key);  // array of strings
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t low, std::int64_t high);
  std::vector<double> reals(std::string_view key, double low, double high);

  // Calls read(reader) for each object of an array; reader's path has the index. Each is finished afterwards.
  void each_object(std::string_view key, const std::function<void(ConfigReader&)>& read);

  void ignore(std::string_view key);  // a key that is known and means nothing here
  std::vector<std::string> unread_keys() const;
  void finish() const;  // throws Error naming every key that was not asked for

 private:
  void note(std::string_view key) const;
  const nlohmann::json* find(std::string_view key);
  const nlohmann::json& require(std::string_view key, const std::string& expected);

  const nlohmann::json* object_;
  std::string where_;
  mutable std::vector<std::string> asked_;  // in the order of asking
};

}  // namespace lcomp
