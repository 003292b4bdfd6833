#include "models/families/families.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr std::array table = {
    Family{"gemma", read_gemma_config, gemma_slices},
    Family{"gemma2", read_gemma2_config, gemma2_slices},
    Family{"gemma3_text", read_gemma3_config, gemma3_slices},
    Family{"llama", read_llama_config, llama_slices},
    Family{"mistral", read_mistral_config, mistral_slices},
    Family{"mixtral", read_mixtral_config, mixtral_slices},
    Family{"phi", read_phi_config, phi_slices},
    Family{"phi3", read_phi3_config, phi3_slices},
    Family{"qwen2", read_qwen2_config, qwen2_slices},
    Family{"qwen3", read_qwen3_config, qwen3_slices},
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
