// nlohmann-json's parser drives a handler of ours, which builds the tree and refuses what the library lets pass:
// duplicate keys (the last would win), deep nesting, a byte order mark.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/quoted_text.h"

namespace lcomp {
namespace {

using nlohmann::json;

constexpr std::size_t kDeepestNesting = 100;

// Reads characters and records how far the parser has come, which its callbacks don't say.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  TrackedIterator& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  TrackedIterator operator++(int) {
    TrackedIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const TrackedIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TrackedIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

class TreeBuilder : public nlohmann::json_sax<json> {
 public:
  TreeBuilder(std::string_view text, const std::string& where) : text_(text), where_(where), furthest_(text.data()) {}

  json parse() {
    if (text_.starts_with("\xef\xbb\xbf")) fail(1, "a byte order mark", "plain UTF-8");
    const char* end = text_.data() + text_.size();
    json::sax_parse(TrackedIterator(text_.data(), &furthest_), TrackedIterator(end, &furthest_), this);
    return std::move(root_);
  }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string& /*text*/) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(json::binary_t& value) override { return add(json::binary(std::move(value))); }
  bool start_object(std::size_t /*size*/) override { return open(json::object()); }
  bool start_array(std::size_t /*size*/) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    Level& level = levels_.back();
    const auto [entry, is_new] = level.value->get_ref<json::object_t&>().emplace(std::move(name), nullptr);
    level.key = &entry->first;
    level.slot = &entry->second;
    if (!is_new) fail(offset(), fmt::format("the key {} for the second time", abbreviated_path()), "each key once");
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*last*/,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: REASON; last read: 'TEXT'; expected WHAT"
    std::string reason = error.what();
    if (const auto at = reason.find("] "); at != std::string::npos) reason.erase(0, at + 2);
    if (reason.starts_with("parse error at line")) reason.erase(0, std::min(reason.find(": "), reason.size() - 2) + 2);
    std::string expected;
    if (const auto read = reason.find("; last read: "); read != std::string::npos) {
      if (const auto at = reason.rfind("; expected "); at != std::string::npos && at > read)
        expected = reason.substr(at + 11);
      reason.erase(read);
    } else if (const auto at2 = reason.rfind("; expected "); at2 != std::string::npos) {
      expected = reason.substr(at2 + 11);
      reason.erase(at2);
    }
    fail(position, abbreviated(reason), expected);
  }

 private:
  struct Level {
    json* value;
    const std::string* key = nullptr;  // of an object: the current key
    json* slot = nullptr;              // of an object: where its value goes
  };

  std::size_t offset() const { return static_cast<std::size_t>(furthest_ - text_.data()); }

  template <typename T>
  json* put(T&& value) {
    if (levels_.empty()) {
      root_ = json(std::forward<T>(value));
      return &root_;
    }
    Level& level = levels_.back();
    if (level.value->is_array()) {
      auto& items = level.value->get_ref<json::array_t&>();
      items.emplace_back(std::forward<T>(value));
      return &items.back();
    }
    *level.slot = json(std::forward<T>(value));
    return level.slot;
  }

  template <typename T>
  bool add(T&& value) {
    put(std::forward<T>(value));
    return true;
  }

  bool open(json container) {
    if (levels_.size() == kDeepestNesting) {
      fail(offset(), fmt::format("nesting deeper than {}", kDeepestNesting), "");
    }
    json* value = put(std::move(container));
    levels_.push_back(Level{value});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  std::string abbreviated_path() const {
    std::string path;
    for (const Level& level : levels_) {
      if (level.value->is_array()) {
        path += fmt::format("[{}]", level.value->size() - 1);
      } else {
        if (!path.empty()) path += '.';
        path += abbreviated(*level.key);
      }
    }
    return '"' + path + '"';
  }

  // `position`: how many bytes were read, the last of which is to blame.
  [[noreturn]] void fail(std::size_t position, const std::string& found, const std::string& expected) const {
    std::size_t line = 1;
    std::size_t column = 1;  // in characters
    for (std::size_t i = 0; i + 1 < position && i < text_.size(); ++i) {
      if (text_[i] == '\n') {
        ++line;
        column = 1;
      } else if ((static_cast<unsigned char>(text_[i]) & 0xc0u) != 0x80u) {
        ++column;
      }
    }
    throw Error({where_, fmt::format("line {}, column {}: {}", line, column, found), expected, ""});
  }

  std::string_view text_;
  const std::string& where_;
  const char* furthest_;
  json root_;
  std::vector<Level> levels_;
};

}  // namespace

json parse_json(std::string_view text, const std::string& where) { return TreeBuilder(text, where).parse(); }

json parse_json_file(const std::filesystem::path& path) { return parse_json(read_text_file(path), path.string()); }

}  // namespace lcomp
