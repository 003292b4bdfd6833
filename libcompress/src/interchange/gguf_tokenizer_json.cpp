#include "lcomp/interchange/gguf_tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "interchange/gguf_pre_tokenizer.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using nlohmann::json;

// llama.cpp's token types.
constexpr std::int64_t kUnknown = 2;
constexpr std::int64_t kControl = 3;
constexpr std::int64_t kUserDefined = 4;
constexpr std::int64_t kByte = 6;

constexpr const char* kSpace = "\u2581";

// JSON can hold nothing else.
bool is_utf8(const std::string& text) {
  try {
    (void)json(text).dump();
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<std::int64_t> types;  // one a token
  std::unordered_map<std::string, std::size_t> ids;
};

class TokenizerMetadata {
 public:
  explicit TokenizerMetadata(const GgufFile& file) : file_(file) {}

  [[noreturn]] void fail(std::string found, std::string expected = "") const {
    throw Error({file_.where(), std::move(found), std::move(expected), ""});
  }

  const std::string& where() const { return file_.where(); }
  bool has(const std::string& key) const { return file_.find_metadata(key) != nullptr; }

  std::string string_or(const std::string& key, const std::string& otherwise) const {
    return has(key) ? file_.string_value(key) : otherwise;
  }

  bool boolean_or(const std::string& key, bool otherwise) const {
    const GgufValue* value = file_.find_metadata(key);
    if (value == nullptr) return otherwise;
    if (const bool* typed = std::get_if<bool>(&value->value)) return *typed;
    fail(fmt::format("metadata \"{}\" is no boolean", key));
  }

  // The token that a metadata key names; nothing where the key is absent.
  std::optional<std::size_t> token_id(const std::string& key, const Vocabulary& vocabulary) const {
    if (!has(key)) return std::nullopt;
    const std::uint64_t id = file_.unsigned_value(key);
    if (id >= vocabulary.tokens.size()) {
      fail(fmt::format("{} is {}", key, id), fmt::format("less than the {} tokens", vocabulary.tokens.size()));
    }
    return static_cast<std::size_t>(id);
  }

  std::vector<std::string> strings(const std::string& key) const {
    std::vector<std::string> values;
    for (const GgufValue& item : file_.array_value(key)) {
      const auto* text = std::get_if<std::string>(&item.value);
      if (text == nullptr) fail(fmt::format("metadata \"{}\" holds items that are no strings", key));
      values.push_back(*text);
    }
    return values;
  }

  std::vector<double> numbers(const std::string& key) const {
    std::vector<double> values;
    for (const GgufValue& item : file_.array_value(key)) {
      if (const auto* real = std::get_if<double>(&item.value)) {
        values.push_back(*real);
      } else if (const auto* integer = std::get_if<std::int64_t>(&item.value)) {
        values.push_back(static_cast<double>(*integer));
      } else if (const auto* natural = std::get_if<std::uint64_t>(&item.value)) {
        values.push_back(static_cast<double>(*natural));
      } else {
        fail(fmt::format("metadata \"{}\" holds items that are no numbers", key));
      }
    }
    return values;
  }

  Vocabulary vocabulary() const {
    Vocabulary vocabulary;
    vocabulary.tokens = strings("tokenizer.ggml.tokens");
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      const std::string& token = vocabulary.tokens[id];
      if (!is_utf8(token)) fail(fmt::format("token {} is no UTF-8", id));
      const auto [at, inserted] = vocabulary.ids.emplace(token, id);
      if (!inserted) fail(fmt::format("tokens {} and {} are both \"{}\"", at->second, id, token), "each token once");
    }
    vocabulary.types.assign(vocabulary.tokens.size(), 1);
    if (has("tokenizer.ggml.token_type")) {
      const std::vector<double> types = numbers("tokenizer.ggml.token_type");
      if (types.size() != vocabulary.tokens.size()) {
        fail(fmt::format("{} token types for {} tokens", types.size(), vocabulary.tokens.size()));
      }
      std::transform(types.begin(), types.end(), vocabulary.types.begin(),
                     [](double type) { return type >= 0 && type < 100 ? static_cast<std::int64_t>(type) : 0; });
    }
    return vocabulary;
  }

 private:
  const GgufFile& file_;
};

json vocabulary_json(const Vocabulary& vocabulary) {
  json object = json::object();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) object[vocabulary.tokens[id]] = id;
  return object;
}

bool has_space(const std::string& token) {
  return token.find(' ') != std::string::npos || token.find(kSpace) != std::string::npos;
}

// `in_normalized_text`: user-defined tokens with spaces, plain or as U+2581, are searched for where all spaces are
// U+2581.
json added_tokens(const Vocabulary& vocabulary, bool in_normalized_text = false) {
  json added = json::array();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::int64_t type = vocabulary.types[id];
    if (type != kControl && type != kUserDefined && type != kUnknown) continue;
    added.push_back({{"id", id},
                     {"content", vocabulary.tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", in_normalized_text && type == kUserDefined && has_space(vocabulary.tokens[id])},
                     {"special", type != kUserDefined}});
  }
  return added;
}

// Adds the begin and end tokens that the file asks for; null when there are none.
json post_processor(const TokenizerMetadata& meta, const Vocabulary& vocabulary, bool begins_by_default) {
  json special_tokens = json::object();
  const auto special = [&](const std::string& key, int type_id) {
    const auto id = meta.token_id(key, vocabulary);
    if (!id) meta.fail(fmt::format("no metadata \"{}\", though the token is to be added", key));
    const std::string& token = vocabulary.tokens[*id];
    special_tokens[token] = {{"id", token}, {"ids", {*id}}, {"tokens", {token}}};
    return json{{"SpecialToken", {{"id", token}, {"type_id", type_id}}}};
  };
  const bool begins = meta.boolean_or("tokenizer.ggml.add_bos_token", begins_by_default);
  const bool ends = meta.boolean_or("tokenizer.ggml.add_eos_token", false);
  if (!begins && !ends) return nullptr;
  const auto sequence = [&](const char* name, int type_id) {
    json items = json::array();
    if (begins) items.push_back(special("tokenizer.ggml.bos_token_id", type_id));
    items.push_back({{"Sequence", {{"id", name}, {"type_id", type_id}}}});
    if (ends) items.push_back(special("tokenizer.ggml.eos_token_id", type_id));
    return items;
  };
  const json single = sequence("A", 0);
  json pair = single;
  for (const json& item : sequence("B", 1)) pair.push_back(item);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special_tokens}};
}

json byte_level_tokenizer(const TokenizerMetadata& meta) {
  const Vocabulary vocabulary = meta.vocabulary();
  json merges = json::array();
  for (const std::string& merge : meta.strings("tokenizer.ggml.merges")) {
    const std::size_t space = merge.find(' ', 1);  // symbols of the byte-level alphabet hold no space
    if (space == std::string::npos || space + 1 == merge.size() || !is_utf8(merge)) {
      meta.fail(fmt::format("the merge \"{}\"", merge), "two symbols with a space between them");
    }
    merges.push_back({merge.substr(0, space), merge.substr(space + 1)});
  }
  const GgufPreTokenizer pre = gguf_pre_tokenizer(meta.string_or("tokenizer.ggml.pre", "default"), meta.where());
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens(vocabulary)},
          {"normalizer", pre.normalizer},
          {"pre_tokenizer", pre.pre_tokenizer},
          {"post_processor", post_processor(meta, vocabulary, pre.adds_begin)},
          {"decoder", byte_level_component(true)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", pre.ignore_merges},
            {"vocab", vocabulary_json(vocabulary)},
            {"merges", std::move(merges)}}}};
}

// Every way to make a token out of two, best score first; among equal scores in the order of the tokens, then of their
// left parts.
json merges_from_scores(const TokenizerMetadata& meta, const Vocabulary& vocabulary) {
  const std::vector<double> scores = meta.numbers("tokenizer.ggml.scores");
  if (scores.size() != vocabulary.tokens.size()) {
    meta.fail(fmt::format("{} scores for {} tokens", scores.size(), vocabulary.tokens.size()));
  }
  if (!std::all_of(scores.begin(), scores.end(), [](double score) { return std::isfinite(score); })) {
    meta.fail("scores that are not finite");
  }
  struct Merge {
    std::size_t token, left, right;
  };
  std::vector<Merge> merges;
  const auto mergeable = [&](std::size_t id) {
    const std::int64_t type = vocabulary.types[id];
    return type != kControl && type != kUnknown && type != kByte && type != kUserDefined;
  };
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (!mergeable(id)) continue;
    const std::string& token = vocabulary.tokens[id];
    const std::size_t begin = merges.size();
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = vocabulary.ids.find(token.substr(0, cut));
      if (left == vocabulary.ids.end() || !mergeable(left->second)) continue;
      const auto right = vocabulary.ids.find(token.substr(cut));
      if (right == vocabulary.ids.end() || !mergeable(right->second)) continue;
      merges.push_back({id, left->second, right->second});
    }
    std::sort(merges.begin() + static_cast<std::ptrdiff_t>(begin), merges.end(),
              [](const Merge& a, const Merge& b) { return std::pair(a.left, a.right) < std::pair(b.left, b.right); });
  }
  std::stable_sort(merges.begin(), merges.end(),
                   [&](const Merge& a, const Merge& b) { return scores[a.token] > scores[b.token]; });
  json result = json::array();
  for (const Merge& merge : merges) result.push_back({vocabulary.tokens[merge.left], vocabulary.tokens[merge.right]});
  return result;
}

bool has_all_bytes(const Vocabulary& vocabulary) {
  for (int byte = 0; byte < 256; ++byte) {
    if (!vocabulary.ids.contains(fmt::format("<0x{:02X}>", byte))) return false;
  }
  return true;
}

json sentencepiece_tokenizer(const TokenizerMetadata& meta) {
  if (meta.boolean_or("tokenizer.ggml.remove_extra_whitespaces", false) ||
      meta.has("tokenizer.ggml.precompiled_charsmap")) {
    meta.fail("a SentencePiece tokenizer that normalizes its text",
              "one without precompiled_charsmap and remove_extra_whitespaces");
  }
  const Vocabulary vocabulary = meta.vocabulary();
  const std::size_t unknown = meta.token_id("tokenizer.ggml.unknown_token_id", vocabulary).value_or(0);
  if (vocabulary.tokens.empty()) meta.fail("no tokens");
  const bool prefix = meta.boolean_or("tokenizer.ggml.add_space_prefix", true);

  const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
  json normalizers = json::array();
  if (prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
  normalizers.push_back(replace);
  json decoders = {{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens(vocabulary, !prefix)},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
          {"pre_tokenizer", nullptr},
          {"post_processor", post_processor(meta, vocabulary, true)},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", vocabulary.tokens[unknown]},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", true},
            {"byte_fallback", has_all_bytes(vocabulary)},
            {"ignore_merges", false},
            {"vocab", vocabulary_json(vocabulary)},
            {"merges", merges_from_scores(meta, vocabulary)}}}};
}

}  // namespace

json gguf_tokenizer_json(const GgufFile& file) {
  const TokenizerMetadata meta(file);
  const std::string& model = file.string_value("tokenizer.ggml.model");
  if (model == "gpt2") return byte_level_tokenizer(meta);
  if (model == "llama") return sentencepiece_tokenizer(meta);
  meta.fail(fmt::format("the tokenizer model \"{}\"", model), "gpt2 (byte-level BPE) or llama (SentencePiece BPE)");
}

json gguf_tokenizer_config_json(const GgufFile& file) {
  const TokenizerMetadata meta(file);
  const Vocabulary vocabulary = meta.vocabulary();
  json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  for (const char* key : {"add_bos_token", "add_eos_token"}) {
    const std::string full = fmt::format("tokenizer.ggml.{}", key);
    if (meta.has(full)) config[key] = meta.boolean_or(full, false);
  }
  if (meta.has("tokenizer.ggml.add_space_prefix")) {
    config["add_prefix_space"] = meta.boolean_or("tokenizer.ggml.add_space_prefix", false);
  }
  for (const auto& [key, gguf_key] :
       {std::pair{"bos_token", "bos_token_id"}, std::pair{"eos_token", "eos_token_id"},
        std::pair{"unk_token", "unknown_token_id"}, std::pair{"pad_token", "padding_token_id"}}) {
    if (const auto id = meta.token_id(fmt::format("tokenizer.ggml.{}", gguf_key), vocabulary)) {
      config[key] = vocabulary.tokens[*id];
    }
  }
  const std::string context = file.string_value("general.architecture") + ".context_length";
  if (meta.has(context)) config["model_max_length"] = file.unsigned_value(context);
  if (meta.has("tokenizer.chat_template")) {
    config["chat_template"] = file.string_value("tokenizer.chat_template");
    if (!is_utf8(file.string_value("tokenizer.chat_template"))) meta.fail("a chat template that is no UTF-8");
  }
  return config;
}

}  // namespace lcomp
