#include "csv.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

class CsvParser {
 public:
  CsvParser(std::string_view text, const std::string& where) : text_(text), where_(where) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  std::vector<CsvRecord> parse() {
    std::vector<CsvRecord> records;
    while (at_ < text_.size()) {
      if (end_line()) continue;
      records.push_back({line_, {}});
      do records.back().fields.push_back(field());
      while (skip(','));
      if (at_ < text_.size() && !end_line())
        fail(line_, "text after a closing quote", "a comma or the end of the line");
    }
    return records;
  }

 private:
  [[noreturn]] void fail(std::size_t line, const std::string& found, const std::string& expected) const {
    throw Error({fmt::format("{}: line {}", where_, line), found, expected, ""});
  }

  bool skip(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool end_line() {
    if (text_.substr(at_, 2) == "\r\n") {
      at_ += 2;
    } else if (!skip('\n')) {
      return false;
    }
    ++line_;
    return true;
  }

  std::string field() {
    std::string value;
    if (!skip('"')) {
      while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_.substr(at_, 2) != "\r\n") {
        if (text_[at_] == '\0') fail(line_, "a zero byte", "text");
        value += text_[at_++];
      }
      return value;
    }
    const std::size_t begin = line_;
    while (true) {
      if (at_ >= text_.size()) fail(begin, "a quoted field that does not end", "a closing quote");
      const char c = text_[at_++];
      if (c == '"' && !skip('"')) return value;
      if (c == '\0') fail(line_, "a zero byte", "text");
      if (c == '\n') ++line_;
      value += c;
    }
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

}  // namespace

std::vector<CsvRecord> parse_csv(std::string_view text, const std::string& where) {
  return CsvParser(text, where).parse();
}

}  // namespace lcomp
