#include "compression/allocation/budgeted_kinds.h"

namespace lcomp {
namespace {

struct Line {
  OpenSize open;
  const BudgetedKind& (*kind)();
};

constexpr Line lines[] = {
    {OpenSize::width, budgeted_widths},
    {OpenSize::bands, budgeted_bands},
    {OpenSize::precision, budgeted_precisions},
};

}  // namespace

const BudgetedKind& budgeted_kind(OpenSize open) {
  for (const Line& line : lines) {
    if (line.open == open) return line.kind();
  }
  return lines[0].kind();
}

std::vector<std::string_view> budgeted_kind_names() {
  std::vector<std::string_view> names;
  for (const Line& line : lines) names.push_back(line.kind().traits().name);
  return names;
}

std::optional<OpenSize> open_size(const QuantizerSetting& setting) {
  for (const Line& line : lines) {
    if (line.kind().is_open(setting)) return line.open;
  }
  return std::nullopt;
}

}  // namespace lcomp
