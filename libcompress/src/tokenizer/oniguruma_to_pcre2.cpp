#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lcomp/core/error.h"
#include "tokenizer/text_pattern.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

// \w of Oniguruma, as members of a character class; outside of a class it counts superscripts and fractions of Latin-1
// as well.
constexpr std::string_view word_members = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
constexpr std::string_view hexadecimal_members = "0-9a-fA-F";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hexadecimal(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Translation {
 public:
  Translation(std::string_view expression, const std::string& where) : in_(expression), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) element();
    if (groups_.size() != 1) refuse("a group that is not closed");
    out_.append(groups_.back().to_close, ')');
    return std::move(out_);
  }

 private:
  struct Group {
    bool caseless = false;
    std::size_t to_close = 0;  // groups opened by isolated options, (?i), which reach to the end of the group
  };

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error({where_, fmt::format("{} in the regular expression {}", what, excerpt(in_)),
                 "a regular expression with groups, classes, properties, look-around and greedy, lazy or possessive "
                 "quantifiers",
                 ""});
  }

  bool next_is(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  char take() {
    if (at_ >= in_.size()) refuse("an unexpected end");
    return in_[at_++];
  }
  bool caseless() const { return groups_.back().caseless; }

  void element() {
    const char c = take();
    const char before = std::exchange(previous_literal_, '\0');
    switch (c) {
      case '\\':
        escape();
        break;
      case '[':
        character_class();
        break;
      case '(':
        open_group();
        break;
      case ')':
        close_group();
        break;
      case '^':
        out_ += "(?m:^)";
        break;
      case '$':
        out_ += "(?m:$)";
        break;
      case '{':
        interval();
        break;
      default:
        refuse_folded_pair(before, c);
        previous_literal_ = c;
        out_ += c;
    }
  }

  // Oniguruma's caseless matching lets one character stand for several (the ligature fi, sharp s); PCRE2's does not.
  void refuse_folded_pair(char first, char second) const {
    if (!caseless()) return;
    const auto lower = [](char c) { return is_letter(c) ? static_cast<char>(c | 0x20) : c; };
    const std::array<char, 2> pair = {lower(first), lower(second)};
    for (const std::string_view folded : {"ss", "st", "ff", "fi", "fl"}) {
      if (folded == std::string_view(pair.data(), 2)) refuse(fmt::format("\"{}\" without regard to case", folded));
    }
  }

  void escape() {
    const char c = take();
    switch (c) {
      case 's':
        out_ += "\\p{White_Space}";
        break;
      case 'S':
        out_ += "\\P{White_Space}";
        break;
      case 'd':
        out_ += "\\p{Nd}";
        break;
      case 'D':
        out_ += "\\P{Nd}";
        break;
      case 'w':
        out_ += fmt::format("[{}]", word);
        break;
      case 'W':
        out_ += fmt::format("[^{}]", word);
        break;
      case 'h':
        out_ += fmt::format("[{}]", hexadecimal_members);
        break;
      case 'H':
        out_ += fmt::format("[^{}]", hexadecimal_members);
        break;
      case 'b':
        out_ += fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", word);
        break;
      case 'B':
        out_ += fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", word);
        break;
      case 'A':
      case 'z':
      case 'Z':
        out_ += '\\';
        out_ += c;
        break;
      default:
        character_escape(c);
    }
  }

  // The escapes that mean the same within a character class and outside.
  void character_escape(char c) {
    switch (c) {
      case 'p':
      case 'P':
        property(c == 'P');
        break;
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        out_ += '\\';
        out_ += c;
        break;
      case 'v':
        out_ += "\\x{0b}";
        break;
      case 'x':
        hexadecimal_escape();
        break;
      case 'u':
        out_ += fmt::format("\\x{{{}}}", hexadecimal_digits(4));
        break;
      default:
        if (is_letter(c) || is_digit(c)) refuse(fmt::format("\\{}", c));
        out_ += '\\';
        out_ += c;
    }
  }

  std::string hexadecimal_digits(std::size_t count) {
    const std::string digits(in_.substr(at_, count));
    if (digits.size() != count || !std::all_of(digits.begin(), digits.end(), is_hexadecimal)) {
      refuse("an escape with too few hexadecimal digits");
    }
    at_ += count;
    return digits;
  }

  void hexadecimal_escape() {
    if (next_is("{")) {
      const std::size_t end = in_.find('}', at_);
      if (end == std::string_view::npos) refuse("\\x{ without }");
      ++at_;
      out_ += fmt::format("\\x{{{}}}", hexadecimal_digits(end - at_));
      ++at_;
      return;
    }
    const std::string digits = hexadecimal_digits(2);
    if (digits[0] >= '8') refuse(fmt::format("\\x{}, a byte that is no character", digits));
    out_ += fmt::format("\\x{{{}}}", digits);
  }

  void property(bool negated) {
    const std::size_t end = in_.find('}', at_);
    if (!next_is("{") || end == std::string_view::npos) refuse("\\p without {name}");
    std::string_view name = in_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    if (name.empty() || !std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || c == '_'; })) {
      refuse(fmt::format("the property \"{}\"", excerpt(name)));
    }
    if (caseless() && (name == "Lu" || name == "Ll" || name == "Lt")) {
      refuse(fmt::format("\\p{{{}}} without regard to case", name));
    }
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> long_names = {{
        {"Letter", "L"},
        {"Mark", "M"},
        {"Number", "N"},
        {"Punctuation", "P"},
        {"Symbol", "S"},
        {"Separator", "Z"},
        {"Other", "C"},
        {"Alphabetic", "Alphabetic"},
        {"Alpha", "Alphabetic"},
        {"White_Space", "White_Space"},
        {"Space", "White_Space"},
        {"Any", "Any"},
    }};
    const auto known =
        std::find_if(long_names.begin(), long_names.end(), [&](const auto& p) { return p.first == name; });
    out_ += negated ? "\\P{" : "\\p{";
    if (name.size() <= 2) {
      out_ += name;
    } else if (known != long_names.end()) {
      out_ += known->second;
    } else {
      out_ += "sc:";  // PCRE2's plain \p{Han} includes script extensions
      out_ += name;
    }
    out_ += '}';
  }

  void character_class() {
    out_ += '[';
    if (next_is("^")) out_ += take();
    if (next_is("]")) refuse("a character class that begins with ]");
    for (;;) {
      const char c = take();
      if (c == ']') break;
      if (c == '[') refuse("a character class within a character class");
      if (c == '&' && next_is("&")) refuse("an intersection of character classes");
      if (c == '\\') {
        class_escape();
      } else {
        out_ += c;
      }
    }
    out_ += ']';
  }

  void class_escape() {
    const char c = take();
    switch (c) {
      case 's':
        out_ += "\\p{White_Space}";
        break;
      case 'S':
        out_ += "\\P{White_Space}";
        break;
      case 'd':
        out_ += "\\p{Nd}";
        break;
      case 'D':
        out_ += "\\P{Nd}";
        break;
      case 'w':
        out_ += word_members;
        break;
      case 'h':
        out_ += hexadecimal_members;
        break;
      case 'b':
        out_ += "\\x{08}";
        break;
      default:
        character_escape(c);
    }
  }

  void open_group() {
    for (const std::string_view kind : {"?:", "?=", "?!", "?>", "?<=", "?<!"}) {
      if (!next_is(kind)) continue;
      at_ += kind.size();
      out_ += '(';
      out_ += kind;
      groups_.push_back({caseless(), 0});
      return;
    }
    if (!next_is("?")) {
      out_ += "(?:";
      groups_.push_back({caseless(), 0});
      return;
    }
    take();
    bool on = true, new_caseless = caseless();
    char c = take();
    for (; c != ')' && c != ':'; c = take()) {
      if (c == '-') {
        on = false;
      } else if (c == 'i') {
        new_caseless = on;
      } else {
        refuse(fmt::format("a group that begins with (?...{}", c));
      }
    }
    out_ += new_caseless ? "(?i:" : "(?-i:";
    if (c == ':') {
      groups_.push_back({new_caseless, 0});
    } else {  // an isolated option is a group that reaches to the end of the one it stands in
      groups_.back().caseless = new_caseless;
      ++groups_.back().to_close;
    }
  }

  void close_group() {
    if (groups_.size() == 1) refuse("a ) without (");
    out_.append(groups_.back().to_close + 1, ')');
    groups_.pop_back();
  }

  // {n}, {n,}, {n,m} and {,m}; anything else is a literal brace.
  void interval() {
    std::size_t end = at_;
    const auto digits = [&] {
      const std::size_t begin = end;
      while (end < in_.size() && is_digit(in_[end])) ++end;
      return std::string(in_.substr(begin, end - begin));
    };
    const std::string low = digits();
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) ++end;
    const std::string high = comma ? digits() : std::string();
    if (end >= in_.size() || in_[end] != '}' || (low.empty() && high.empty())) {
      out_ += "\\{";
      return;
    }
    at_ = end + 1;
    out_ += fmt::format("{{{}{}{}}}", low.empty() ? "0" : low, comma ? "," : "", high);
    // In Ruby's syntax these repeat the repetition; elsewhere they make it possessive or lazy.
    if (next_is("+")) refuse("a quantifier {n,m}+");
    if (!comma && next_is("?")) refuse("a quantifier {n}?");
  }

  std::string_view in_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::string out_;
  std::vector<Group> groups_ = {Group{}};
  char previous_literal_ = '\0';
};

}  // namespace

std::string oniguruma_to_pcre2(std::string_view expression, const std::string& where) {
  if (!is_valid_utf8(expression)) throw Error({where, "a regular expression that is not valid UTF-8", "", ""});
  return Translation(expression, where).run();
}

}  // namespace lcomp
