#include "families.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr std::array table = {
    Family{"llama", read_llama_config, llama_slices},
};

}  // namespace

std::span<const Family> families() { return table; }

const Family& find_family(const std::string& model_type, const std::string& where) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Family& f) { return f.model_type == model_type; });
  if (found != table.end()) return *found;
  std::string known;
  for (const Family& family : table) known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", family.model_type);
  throw Error({where, fmt::format("the model type \"{}\"", model_type), "one of " + known, ""});
}

}  // namespace lcomp
