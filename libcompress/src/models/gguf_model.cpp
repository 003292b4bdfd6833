#include "lcomp/models/gguf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <map>
#include <optional>

#include "gguf_architectures.h"
#include "gguf_number.h"
#include "gguf_rope_scaling.h"
#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"

namespace lcomp {
namespace {

// Where a Hugging Face tensor is in the file; heads > 0: rows are interleaved within each of so many heads.
struct Origin {
  std::string gguf_name;
  std::size_t heads = 0;
};

class GgufTensorSource : public TensorSource {
 public:
  GgufTensorSource(std::shared_ptr<const GgufFile> file, const std::map<std::string, Origin>& origins)
      : file_(std::move(file)) {
    for (const auto& [name, origin] : origins) {
      TensorInfo info = file_->info(origin.gguf_name);
      info.name = name;
      infos_.push_back(std::move(info));
      origins_.push_back(origin);
    }
  }

  const std::string& where() const override { return file_->where(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }

  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override {
    const TensorInfo& tensor = info(name);
    const Origin& origin = origins_[static_cast<std::size_t>(&tensor - infos_.data())];
    if (origin.heads == 0) return file_->read_rows(origin.gguf_name, row_begin, row_count, out);
    if (row_begin > tensor.rows() || row_count > tensor.rows() - row_begin) {
      throw Error({where(),
                   fmt::format("rows {} to {} of tensor \"{}\", which has {}", row_begin, row_begin + row_count, name,
                               tensor.rows()),
                   "", ""});
    }
    read_interleaved(origin, tensor, row_begin, row_count, out);
  }

 private:
  // Reads whole heads of the file, as many as make about a megabyte at a time, and picks the rows that were asked for.
  void read_interleaved(const Origin& origin, const TensorInfo& tensor, std::size_t row_begin, std::size_t row_count,
                        std::span<float> out) const {
    const std::size_t cols = tensor.cols();
    const std::size_t head_dim = tensor.rows() / origin.heads;
    assert(out.size() == row_count * cols);
    const std::size_t row_end = row_begin + row_count;
    const std::size_t heads_at_once = std::max<std::size_t>(1, (std::size_t{1} << 18) / (head_dim * cols));
    const std::size_t last_head = divide_up(row_end, head_dim);
    for (std::size_t head = row_begin / head_dim; head < last_head; head += heads_at_once) {
      const std::size_t first_row = head * head_dim;
      const std::size_t count = std::min(heads_at_once, last_head - head) * head_dim;
      Matrix stored(count, cols);
      file_->read_rows(origin.gguf_name, first_row, count, stored.span());
      for (std::size_t row = std::max(row_begin, first_row); row < std::min(row_end, first_row + count); ++row) {
        const std::size_t in_head = row % head_dim;
        const std::size_t half = in_head / (head_dim / 2);
        const std::size_t from = row - in_head + 2 * (in_head % (head_dim / 2)) + half;
        const auto values = stored.row(from - first_row);
        std::copy(values.begin(), values.end(), out.begin() + static_cast<std::ptrdiff_t>((row - row_begin) * cols));
      }
    }
  }

  std::shared_ptr<const GgufFile> file_;
  std::vector<TensorInfo> infos_;  // sorted by name
  std::vector<Origin> origins_;    // of infos_[i]
};

// Reads metadata under the architecture's prefix.
class Metadata {
 public:
  Metadata(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  const std::string& prefix() const { return prefix_; }
  bool has(std::string_view key) const { return file_.find_metadata(fmt::format("{}{}", prefix_, key)) != nullptr; }
  std::uint64_t size(std::string_view key) const {
    const std::string full = fmt::format("{}{}", prefix_, key);
    const std::uint64_t value = file_.unsigned_value(full);
    if (value == 0 || value > kLargestSize) {
      throw Error({file_.where(), fmt::format("{} is {}", full, value), fmt::format("1 to {}", kLargestSize), ""});
    }
    return value;
  }
  std::uint64_t size_or(std::string_view key, std::uint64_t otherwise) const {
    return has(key) ? size(key) : otherwise;
  }
  double real(std::string_view key) const {
    return shortest_decimal(file_.float_value(fmt::format("{}{}", prefix_, key)));
  }
  double real_or(std::string_view key, double otherwise) const { return has(key) ? real(key) : otherwise; }

 private:
  static constexpr std::uint64_t kLargestSize = std::uint64_t{1} << 31;
  const GgufFile& file_;
  std::string prefix_;
};

nlohmann::json make_config(const GgufFile& file, const GgufArchitecture& architecture) {
  const Metadata meta(file, fmt::format("{}.", architecture.gguf));
  const std::uint64_t hidden = meta.size("embedding_length");
  const std::uint64_t heads = meta.size("attention.head_count");
  const std::uint64_t key_value_heads = meta.size_or("attention.head_count_kv", heads);
  const std::uint64_t head_dim = meta.size_or("attention.key_length", hidden / heads);
  if (meta.size_or("attention.value_length", head_dim) != head_dim) {
    throw Error(
        {file.where(), "values and keys of different length", "attention.value_length as attention.key_length", ""});
  }
  if (head_dim == 0 || head_dim % 2 != 0 || key_value_heads > heads || heads % key_value_heads != 0) {
    throw Error(
        {file.where(),
         fmt::format("{} query heads and {} key-value heads of {} dimensions", heads, key_value_heads, head_dim),
         "query heads a multiple of key-value heads, an even dimension", ""});
  }
  if (meta.size_or("rope.dimension_count", head_dim) != head_dim) {
    throw Error({file.where(),
                 fmt::format("rotary embeddings of {} of {} dimensions", meta.size("rope.dimension_count"), head_dim),
                 "of all dimensions", ""});
  }
  const double theta = meta.real_or("rope.freq_base", 10000);
  if (!(theta > 0)) throw Error({file.where(), fmt::format("rope.freq_base is {}", theta), "more than 0", ""});
  nlohmann::json config = {
      {"architectures", {architecture.class_name}},
      {"model_type", architecture.model_type},
      {"vocab_size", file.info("token_embd.weight").rows()},
      {"hidden_size", hidden},
      {"intermediate_size", meta.size("feed_forward_length")},
      {"num_hidden_layers", meta.size("block_count")},
      {"num_attention_heads", heads},
      {"num_key_value_heads", key_value_heads},
      {"head_dim", head_dim},
      {"max_position_embeddings", meta.size("context_length")},
      {"rope_theta", theta},
      {"rope_scaling", gguf_rope_scaling(file, meta.prefix(), theta, head_dim)},
      {"rms_norm_eps", meta.real("attention.layer_norm_rms_epsilon")},
      {"hidden_act", "silu"},
      {"tie_word_embeddings", file.find("output.weight") == nullptr},
  };
  for (const auto& [key, gguf_key] : {std::pair{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                      std::pair{"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                      std::pair{"pad_token_id", "tokenizer.ggml.padding_token_id"}}) {
    if (file.find_metadata(gguf_key) != nullptr) config[key] = file.unsigned_value(gguf_key);
  }
  architecture.complete_config(file, config);
  return config;
}

struct NameParts {
  std::size_t layer = 0;
  std::string_view part;  // "attn_q"
  std::string_view kind;  // "weight" or "bias"
};

// "blk.LAYER.PART.KIND"
std::optional<NameParts> parse_block_name(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  name.remove_prefix(4);
  NameParts parts;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), parts.layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return std::nullopt;
  name.remove_prefix(static_cast<std::size_t>(end - name.data()) + 1);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  parts.part = name.substr(0, dot);
  parts.kind = name.substr(dot + 1);
  if (parts.kind != "weight" && parts.kind != "bias") return std::nullopt;
  return parts;
}

// The Hugging Face name and origin of a GGUF tensor; nothing when it has none.
std::optional<std::pair<std::string, Origin>> map_tensor(const GgufArchitecture& architecture,
                                                         const nlohmann::json& config, const std::string& name) {
  if (name == "token_embd.weight") return std::pair{std::string("model.embed_tokens.weight"), Origin{name}};
  if (name == "output_norm.weight") return std::pair{std::string("model.norm.weight"), Origin{name}};
  if (name == "output.weight") return std::pair{std::string("lm_head.weight"), Origin{name}};
  const auto parts = parse_block_name(name);
  if (!parts || parts->layer >= config.at("num_hidden_layers").get<std::size_t>()) return std::nullopt;
  for (const GgufTensorName& entry : architecture.block_tensors) {
    if (entry.gguf != parts->part) continue;
    Origin origin{name};
    if (entry.layout == GgufLayout::interleaved_query)
      origin.heads = config.at("num_attention_heads").get<std::size_t>();
    if (entry.layout == GgufLayout::interleaved_key) origin.heads = config.at("num_key_value_heads").get<std::size_t>();
    return std::pair{fmt::format("model.layers.{}.{}.{}", parts->layer, entry.hugging_face, parts->kind), origin};
  }
  return std::nullopt;
}

std::map<std::string, Origin> map_tensors(const GgufFile& file, const GgufArchitecture& architecture,
                                          const nlohmann::json& config) {
  std::map<std::string, Origin> origins;
  std::string unknown;
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.name == "rope_freqs.weight") continue;  // part of the config
    auto mapped = map_tensor(architecture, config, tensor.name);
    if (!mapped || !origins.insert(*mapped).second) {
      unknown += fmt::format("{}\"{}\"", unknown.empty() ? "" : ", ", tensor.name);
      continue;
    }
    const std::size_t heads = mapped->second.heads;
    if (heads != 0 && tensor.rows() != heads * config.at("head_dim").get<std::size_t>()) {
      throw Error({file.where(), fmt::format("tensor \"{}\" has {} rows", tensor.name, tensor.rows()),
                   fmt::format("{} heads of {}", heads, config.at("head_dim").get<std::size_t>()), ""});
    }
  }
  if (!unknown.empty()) {
    throw Error({file.where(),
                 "tensors that the architecture " + std::string(architecture.gguf) + " does not have: " + unknown, "",
                 ""});
  }
  return origins;
}

}  // namespace

GgufModel open_gguf_model(const std::filesystem::path& path) {
  GgufModel model;
  model.file = std::make_shared<const GgufFile>(path);
  const GgufArchitecture& architecture = gguf_architecture(*model.file);
  model.config_json = make_config(*model.file, architecture);
  model.tensors =
      std::make_shared<const GgufTensorSource>(model.file, map_tensors(*model.file, architecture, model.config_json));
  return model;
}

}  // namespace lcomp
