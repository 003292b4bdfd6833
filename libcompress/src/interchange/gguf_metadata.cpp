#include "interchange/gguf_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "interchange/gguf_number.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

// Numbers that llama.cpp's architectures use besides the sizes, and the value that leaves the computation alone; 0 says
// that there is none in all of them.
struct Neutral {
  std::string_view key;
  double value;
};
constexpr std::array<Neutral, 20> kNeutral = {{
    {"attention.clamp_kqv", 0},
    {"attention.max_alibi_bias", 0},
    {"attention.output_scale", 1},
    {"attention.scale", 0},
    {"attention.shared_kv_layers", 0},
    {"attention.sliding_window", 0},
    {"attention.temperature_length", 0},
    {"attention.temperature_scale", 0},
    {"attn_logit_softcapping", 0},
    {"embedding_scale", 1},
    {"expert_count", 0},
    {"expert_shared_count", 0},
    {"expert_weights_scale", 1},
    {"final_logit_softcapping", 0},
    {"interleave_moe_layer_step", 0},
    {"leading_dense_block_count", 0},
    {"logit_scale", 1},
    {"nextn_predict_layers", 0},
    {"residual_scale", 1},
    {"router_logit_softcapping", 0},
}};

}  // namespace

GgufMetadata::GgufMetadata(const GgufFile& file, std::string_view architecture)
    : file_(file), prefix_(fmt::format("{}.", architecture)) {}

std::string GgufMetadata::full(std::string_view key) const { return fmt::format("{}{}", prefix_, key); }

bool GgufMetadata::has(std::string_view key) const { return file_.find_metadata(full(key)) != nullptr; }

std::uint64_t GgufMetadata::size(std::string_view key, std::uint64_t high) const {
  const std::uint64_t value = file_.unsigned_value(full(key));
  if (value == 0 || value > high) {
    throw Error({file_.where(), fmt::format("{} is {}", full(key), value), fmt::format("1 to {}", high), ""});
  }
  return value;
}

std::uint64_t GgufMetadata::size_or(std::string_view key, std::uint64_t otherwise) const {
  return has(key) ? size(key) : otherwise;
}

std::optional<std::uint64_t> GgufMetadata::optional_size(std::string_view key) const {
  if (!has(key) || file_.unsigned_value(full(key)) == 0) return std::nullopt;
  return size(key);
}

double GgufMetadata::real(std::string_view key) const { return shortest_decimal(file_.float_value(full(key))); }

double GgufMetadata::real_or(std::string_view key, double otherwise) const { return has(key) ? real(key) : otherwise; }

std::optional<std::vector<bool>> GgufMetadata::flags(std::string_view key, std::size_t count) const {
  const GgufValue* value = file_.find_metadata(full(key));
  if (value == nullptr || !std::holds_alternative<GgufArray>(value->value)) return std::nullopt;
  std::vector<bool> flags;
  for (const GgufValue& item : std::get<GgufArray>(value->value)) {
    if (const auto* flag = std::get_if<bool>(&item.value)) {
      flags.push_back(*flag);
    } else if (const auto* natural = std::get_if<std::uint64_t>(&item.value)) {
      flags.push_back(*natural != 0);
    } else if (const auto* integer = std::get_if<std::int64_t>(&item.value)) {
      flags.push_back(*integer != 0);
    } else {
      throw Error({file_.where(), fmt::format("{} holds items that are no booleans", full(key)), "", ""});
    }
  }
  if (flags.size() != count) {
    throw Error({file_.where(), fmt::format("{} has {} items", full(key), flags.size()),
                 fmt::format("{}, one a layer", count), ""});
  }
  return flags;
}

void GgufMetadata::refuse_other_mathematics(const std::vector<std::string_view>& read) const {
  for (const Neutral& neutral : kNeutral) {
    if (!has(neutral.key) || std::find(read.begin(), read.end(), neutral.key) != read.end()) continue;
    const double value = real(neutral.key);
    if (value == 0 || value == neutral.value) continue;
    throw Error({file_.where(), fmt::format("{} is {}", full(neutral.key), value),
                 fmt::format("no such key, or {}", neutral.value),
                 "this changes the computation in a way that is not supported for this architecture"});
  }
  const GgufValue* causal = file_.find_metadata(full("attention.causal"));
  if (causal == nullptr) return;
  if (const bool* flag = std::get_if<bool>(&causal->value); flag == nullptr || !*flag) {
    throw Error({file_.where(), full("attention.causal") + " is not true", "a decoder that sees the past only", ""});
  }
}

}  // namespace lcomp
