#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "compression/allocation/budgeted_component.h"
#include "lcomp/compression/compression_plan.h"

namespace lcomp {

// The one table of kinds of weights whose size a budget can decide.
const BudgetedKind& budgeted_kind(OpenSize open);
std::vector<std::string_view> budgeted_kind_names();

// What a setting leaves open; nothing where it says its size.
std::optional<OpenSize> open_size(const QuantizerSetting& setting);

// Its lines, each in a file of its own.
const BudgetedKind& budgeted_widths();      // fixed width
const BudgetedKind& budgeted_bands();       // banded
const BudgetedKind& budgeted_precisions();  // rate-coded

}  // namespace lcomp
