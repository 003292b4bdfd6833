#include "models/text_part.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

// Some of a source's tensors under other names.
class RenamedTensors : public TensorSource {
 public:
  RenamedTensors(std::shared_ptr<const TensorSource> source, const std::map<std::string, std::string>& stored_names)
      : source_(std::move(source)) {
    for (const auto& [name, stored] : stored_names) {
      infos_.push_back(source_->info(stored));
      infos_.back().name = name;
      stored_names_.push_back(stored);
    }
  }

  const std::string& where() const override { return source_->where(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override {
    const auto index = static_cast<std::size_t>(&info(name) - infos_.data());
    source_->read_rows(stored_names_[index], row_begin, row_count, out);
  }

 private:
  std::shared_ptr<const TensorSource> source_;
  std::vector<TensorInfo> infos_;          // sorted by name
  std::vector<std::string> stored_names_;  // of infos_[i]
};

// The name in a model of text alone; nothing for a tensor of the vision part.
std::optional<std::string> text_name(std::string_view name) {
  for (const std::string_view vision : {"vision_tower.", "multi_modal_projector."}) {
    if (name.starts_with(vision)) return std::nullopt;
    if (name.starts_with("model.") && name.substr(6).starts_with(vision)) return std::nullopt;
  }
  constexpr std::string_view published = "language_model.", newer = "model.language_model.";
  if (name.starts_with(published)) return std::string(name.substr(published.size()));
  if (name.starts_with(newer)) return "model." + std::string(name.substr(newer.size()));
  return std::string(name);
}

nlohmann::json text_config(const std::string& where, const nlohmann::json& config) {
  ConfigReader reader(config, where);
  nlohmann::json text = {{"vocab_size", 262208},      {"hidden_size", 2304},
                         {"intermediate_size", 9216}, {"num_hidden_layers", 26},
                         {"num_attention_heads", 8},  {"num_key_value_heads", 4},
                         {"head_dim", 256},           {"max_position_embeddings", 131072}};
  text.update(reader.object("text_config"));
  if (const auto type = text.find("model_type"); type != text.end() && *type != "gemma3_text") {
    throw Error({reader.where("text_config") + ".model_type", type->dump().substr(0, 60), "\"gemma3_text\"", ""});
  }
  text["model_type"] = "gemma3_text";
  text["architectures"] = {"Gemma3ForCausalLM"};
  for (const char* key : {"torch_dtype", "dtype", "bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings",
                          "quantization_config"}) {
    if (config.contains(key) && !text.contains(key)) text[key] = config[key];
  }
  return text;
}

}  // namespace

void take_text_part(const std::string& where, nlohmann::json& config, std::shared_ptr<const TensorSource>& tensors) {
  if (!config.is_object() || config.value("model_type", nlohmann::json()) != "gemma3") return;
  config = text_config(where, config);
  std::map<std::string, std::string> stored_names;
  for (const TensorInfo& tensor : tensors->tensors()) {
    const auto name = text_name(tensor.name);
    if (!name) continue;
    if (const auto [at, inserted] = stored_names.emplace(*name, tensor.name); !inserted) {
      throw Error({tensors->where(), "both \"" + at->second + "\" and \"" + tensor.name + "\"", "one of the two", ""});
    }
  }
  tensors = std::make_shared<const RenamedTensors>(std::move(tensors), stored_names);
}

}  // namespace lcomp
