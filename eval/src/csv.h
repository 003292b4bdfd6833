#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lcomp {

struct CsvRecord {
  std::size_t line = 0;  // where it begins, from 1
  std::vector<std::string> fields;
};

// Records of a comma-separated text as RFC 4180 has them: fields may be quoted, "" in a quoted field is a quote, quoted
// fields may span lines; lines end with LF or CRLF, the last one may lack its end; a byte order mark is skipped, empty
// lines are. A quote inside an unquoted field is taken as it is. Throws Error naming `where` and the line for a quoted
// field that does not end, text after a closing quote, or a zero byte.
std::vector<CsvRecord> parse_csv(std::string_view text, const std::string& where);

}  // namespace lcomp
