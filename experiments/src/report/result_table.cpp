#include "report/result_table.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <string_view>

namespace lcomp {
namespace {

std::string escape_markdown(const std::string& cell) {
  std::string out;
  for (const char c : cell) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string escape_latex(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\textbackslash{}";
        break;
      case '~':
        out += "\\textasciitilde{}";
        break;
      case '^':
        out += "\\textasciicircum{}";
        break;
      case '<':
        out += "\\textless{}";
        break;
      case '>':
        out += "\\textgreater{}";
        break;
      case '|':
        out += "\\textbar{}";
        break;
      default:
        if (std::string_view("&%$#_{}").find(c) != std::string_view::npos) out += '\\';
        out += c;
    }
  }
  return out;
}

bool is_strong(const ResultTable& table, std::size_t row, std::size_t column) {
  return !table.strong.empty() && table.strong[row][column];
}

std::string quote_csv(const std::string& cell) {
  if (cell.find_first_of(",\"\n\r") == std::string::npos) return cell;
  std::string out = "\"";
  for (const char c : cell) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace

std::string to_markdown(const ResultTable& table) {
  assert(table.numeric.size() == table.columns.size());
  std::vector<std::vector<std::string>> lines = {table.columns};
  lines.insert(lines.end(), table.rows.begin(), table.rows.end());
  std::vector<std::size_t> widths(table.columns.size(), 3);
  for (auto& line : lines) {
    assert(line.size() == table.columns.size());
    for (std::size_t c = 0; c < line.size(); ++c) {
      line[c] = escape_markdown(line[c]);
      const auto l = static_cast<std::size_t>(&line - lines.data());
      if (l > 0 && is_strong(table, l - 1, c)) line[c] = "**" + line[c] + "**";
      widths[c] = std::max(widths[c], line[c].size());
    }
  }
  std::string text;
  for (std::size_t l = 0; l < lines.size(); ++l) {
    for (std::size_t c = 0; c < widths.size(); ++c) {
      const std::string padding(widths[c] - lines[l][c].size(), ' ');
      text += "| " + (table.numeric[c] ? padding + lines[l][c] : lines[l][c] + padding) + " ";
    }
    text += "|\n";
    if (l != 0) continue;
    for (std::size_t c = 0; c < widths.size(); ++c) {
      text += "|" + std::string(widths[c] + 1, '-') + (table.numeric[c] ? ":" : "-");
    }
    text += "|\n";
  }
  return text;
}

std::string to_latex(const ResultTable& table, const std::string& caption) {
  std::string text = "\\begin{table}\n\\caption{" + escape_latex(caption) + "}\n\\begin{tabular}{";
  for (const bool numeric : table.numeric) text += numeric ? 'r' : 'l';
  text += "}\n\\toprule\n";
  const auto append = [&](const std::vector<std::string>& cells, auto strong) {
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (c > 0) text += " & ";
      text += strong(c) ? "\\textbf{" + escape_latex(cells[c]) + "}" : escape_latex(cells[c]);
    }
    text += " \\\\\n";
  };
  append(table.columns, [](std::size_t) { return false; });
  text += "\\midrule\n";
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    append(table.rows[r], [&](std::size_t c) { return is_strong(table, r, c); });
  }
  return text + "\\bottomrule\n\\end{tabular}\n\\end{table}\n";
}

std::string to_csv(const ResultTable& table) {
  std::string text;
  const auto append = [&text](const std::vector<std::string>& row) {
    for (std::size_t c = 0; c < row.size(); ++c) text += (c == 0 ? "" : ",") + quote_csv(row[c]);
    text += "\n";
  };
  append(table.columns);
  for (const auto& row : table.rows) append(row);
  return text;
}

}  // namespace lcomp
