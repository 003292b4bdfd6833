#include "interchange/gguf_tensor_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using Origins = std::vector<std::pair<std::string, GgufOrigin>>;

struct NameParts {
  std::size_t layer = 0;
  std::string_view part;  // "attn_q"
  std::string_view kind;  // "weight" or "bias"
};

// Reads a number at the beginning of `text` and takes it off.
std::optional<std::size_t> take_number(std::string_view& text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

// "PART.KIND"
std::optional<NameParts> parse_name(std::string_view name) {
  NameParts parts;
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  parts.part = name.substr(0, dot);
  parts.kind = name.substr(dot + 1);
  if (parts.kind != "weight" && parts.kind != "bias") return std::nullopt;
  return parts;
}

// "blk.LAYER.PART.KIND"
std::optional<NameParts> parse_block_name(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  name.remove_prefix(4);
  const auto layer = take_number(name);
  if (!layer || !name.starts_with('.')) return std::nullopt;
  auto parts = parse_name(name.substr(1));
  if (parts) parts->layer = *layer;
  return parts;
}

class Mapper {
 public:
  Mapper(const GgufFile& file, const GgufArchitecture& architecture, const nlohmann::json& config)
      : file_(file),
        architecture_(architecture),
        layers_(number(config, "num_hidden_layers")),
        heads_(number(config, "num_attention_heads")),
        key_value_heads_(number(config, "num_key_value_heads")),
        head_dim_(number(config, "head_dim")),
        experts_(config.contains("num_local_experts") ? number(config, "num_local_experts") : 0) {}

  // The Hugging Face tensors that are in a GGUF tensor; none when it has no place in the architecture.
  Origins map(const TensorInfo& tensor) const {
    if (const auto block = parse_block_name(tensor.name)) return block_tensor(tensor, *block);
    const auto parts = parse_name(tensor.name);
    if (!parts) return {};
    const auto named = [&](std::string_view name) { return fmt::format("{}.{}", name, parts->kind); };
    if (tensor.name == "token_embd.weight") return whole("model.embed_tokens.weight", tensor);
    if (parts->part == "output_norm") return whole(named(architecture_.final_norm), tensor);
    if (parts->part == "output") return whole(named("lm_head"), tensor);
    return {};
  }

 private:
  static std::size_t number(const nlohmann::json& config, const char* key) { return config.at(key).get<std::size_t>(); }

  Origins whole(const std::string& name, const TensorInfo& tensor, std::size_t heads = 0) const {
    GgufOrigin origin{tensor.name, tensor.shape};
    origin.heads = heads;
    const std::string_view part = parse_name(name)->part;
    origin.plus_one = architecture_.norms_plus_one && part.ends_with("norm");
    return {{name, std::move(origin)}};
  }

  Origins block_tensor(const TensorInfo& tensor, const NameParts& parts) const {
    if (parts.layer >= layers_) return {};
    const auto full = [&](const std::string& name) {
      return fmt::format("model.layers.{}.{}.{}", parts.layer, name, parts.kind);
    };
    for (const GgufTensorName& entry : architecture_.block_tensors) {
      if (!parts.part.starts_with(entry.gguf)) continue;
      std::string_view rest = parts.part.substr(entry.gguf.size());
      if (rest.empty() != (entry.layout != GgufLayout::one_expert)) continue;
      switch (entry.layout) {
        case GgufLayout::same:
          return whole(full(std::string(entry.hugging_face)), tensor);
        case GgufLayout::interleaved_query:
          return interleaved(full(std::string(entry.hugging_face)), tensor, heads_);
        case GgufLayout::interleaved_key:
          return interleaved(full(std::string(entry.hugging_face)), tensor, key_value_heads_);
        case GgufLayout::fused_query_key_value:
          return fused(tensor,
                       [&](const char* part) { return full(fmt::format(fmt::runtime(entry.hugging_face), part)); });
        case GgufLayout::expert_stack:
          return stack(tensor, [&](std::size_t e) { return full(fmt::format(fmt::runtime(entry.hugging_face), e)); });
        case GgufLayout::one_expert:
          if (!rest.starts_with('.')) break;
          rest.remove_prefix(1);
          if (const auto expert = take_number(rest); expert && rest.empty() && *expert < experts_) {
            return whole(full(fmt::format(fmt::runtime(entry.hugging_face), *expert)), tensor);
          }
          break;
      }
    }
    return {};
  }

  Origins interleaved(const std::string& name, const TensorInfo& tensor, std::size_t heads) const {
    if (tensor.shape.empty() || tensor.rows() != heads * head_dim_) {
      throw Error({file_.where(), fmt::format("tensor \"{}\" has {} rows", tensor.name, tensor.rows()),
                   fmt::format("{} heads of {}", heads, head_dim_), ""});
    }
    return whole(name, tensor, heads);
  }

  template <typename Name>
  Origins fused(const TensorInfo& tensor, const Name& name) const {
    const std::size_t query = heads_ * head_dim_, key = key_value_heads_ * head_dim_;
    if (tensor.shape.empty() || tensor.shape.size() > 2 || tensor.rows() != query + 2 * key) {
      throw Error({file_.where(), fmt::format("tensor \"{}\" is {}", tensor.name, tensor.shape),
                   fmt::format("{} rows: those of q, k and v", query + 2 * key), ""});
    }
    Origins origins;
    std::size_t row = 0;
    for (const auto& [part, rows] : {std::pair{"q", query}, std::pair{"k", key}, std::pair{"v", key}}) {
      GgufOrigin origin{tensor.name, tensor.shape};
      origin.shape[0] = rows;
      origin.value_begin = row * tensor.cols();
      origins.emplace_back(name(part), std::move(origin));
      row += rows;
    }
    return origins;
  }

  template <typename Name>
  Origins stack(const TensorInfo& tensor, const Name& name) const {
    if (experts_ == 0) return {};
    if (tensor.shape.size() != 3 || tensor.shape[0] != experts_) {
      throw Error({file_.where(), fmt::format("tensor \"{}\" is {}", tensor.name, tensor.shape),
                   fmt::format("a matrix for each of the {} experts", experts_), ""});
    }
    Origins origins;
    for (std::size_t e = 0; e < experts_; ++e) {
      GgufOrigin origin{tensor.name, {tensor.shape[1], tensor.shape[2]}};
      origin.value_begin = e * tensor.cols();
      origins.emplace_back(name(e), std::move(origin));
    }
    return origins;
  }

  const GgufFile& file_;
  const GgufArchitecture& architecture_;
  std::size_t layers_, heads_, key_value_heads_, head_dim_, experts_;
};

bool is_part_of_config(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

}  // namespace

std::map<std::string, GgufOrigin> gguf_tensor_origins(const GgufFile& file, const GgufArchitecture& architecture,
                                                      const nlohmann::json& config) {
  const Mapper mapper(file, architecture, config);
  std::map<std::string, GgufOrigin> origins;
  std::vector<std::string> unknown;
  for (const TensorInfo& tensor : file.tensors()) {
    if (is_part_of_config(tensor.name)) continue;
    Origins mapped = mapper.map(tensor);
    bool known = !mapped.empty();
    for (auto& [name, origin] : mapped) known = origins.emplace(name, std::move(origin)).second && known;
    if (!known) unknown.push_back(fmt::format("\"{}\"", tensor.name));
  }
  if (unknown.empty()) return origins;
  constexpr std::size_t shown = 8;
  const std::size_t more = unknown.size() > shown ? unknown.size() - shown : 0;
  unknown.resize(unknown.size() - more);
  throw Error({file.where(),
               fmt::format("tensors that the architecture {} does not have: {}{}", architecture.gguf,
                           fmt::join(unknown, ", "), more > 0 ? fmt::format(" and {} more", more) : ""),
               "", ""});
}

}  // namespace lcomp
