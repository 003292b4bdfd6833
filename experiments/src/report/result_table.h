#pragma once

#include <string>
#include <vector>

namespace lcomp {

// A table of text cells, the source of table.md and table.csv.
struct ResultTable {
  std::vector<std::string> columns;
  std::vector<bool> numeric;                   // per column: right-aligned in Markdown
  std::vector<std::vector<std::string>> rows;  // each as long as columns
  std::vector<std::vector<bool>> strong = {};  // cells in bold; empty: none
};

std::string to_markdown(
    const ResultTable& table);  // aligned, so that it reads well as text too; '|' in a cell is escaped
// A table environment with booktabs rules; `caption` is text, and everything is escaped.
std::string to_latex(const ResultTable& table, const std::string& caption);
std::string to_csv(const ResultTable& table);  // RFC 4180: quoted where needed, CRLF not used

}  // namespace lcomp
