#include "tokenizer/tokenizer_json.h"

#include <fmt/format.h>

#include <limits>
#include <set>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "tokenizer/pipeline_tokenizer.h"
#include "tokenizer/tokenizer_json_parts.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

// Added tokens are either tokens of the model too, under the same id, or have ids of their own.
void check_added_token(const AddedToken& token, const Vocabulary& vocabulary, const std::string& where) {
  if (token.content.empty()) throw Error({where, "an added token without content", "", ""});
  const auto known = vocabulary.find(token.content);
  if (known && *known != token.id) {
    throw Error({where, fmt::format("the id {} for \"{}\"", token.id, excerpt(token.content)),
                 fmt::format("{}, its id in model.vocab", *known), ""});
  }
  if (const auto other = vocabulary.token(token.id); other && *other != token.content) {
    throw Error({where, fmt::format("the id {} for \"{}\"", token.id, excerpt(token.content)),
                 fmt::format("another id, this is \"{}\" in model.vocab", excerpt(*other)), ""});
  }
}

std::vector<AddedToken> read_added_tokens(ConfigReader& reader, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  if (!reader.has("added_tokens")) return tokens;
  std::set<std::string> contents;
  std::set<TokenId> ids;
  constexpr std::int64_t highest_id = 100'000'000;  // so that the number of logits made for it stays sane
  reader.each_object("added_tokens", [&](ConfigReader& entry) {
    AddedToken token;
    token.id = static_cast<TokenId>(entry.integer("id", 0, highest_id));
    token.content = entry.string("content");
    token.single_word = entry.boolean_or("single_word", false);
    token.lstrip = entry.boolean_or("lstrip", false);
    token.rstrip = entry.boolean_or("rstrip", false);
    token.special = entry.boolean_or("special", false);
    token.normalized = entry.boolean_or("normalized", !token.special);
    check_added_token(token, vocabulary, entry.where());
    const bool new_content = contents.insert(token.content).second;
    if (!ids.insert(token.id).second || !new_content) {
      throw Error({entry.where(),
                   fmt::format("the id {} or the content \"{}\" for the second time", token.id, excerpt(token.content)),
                   "distinct added tokens", ""});
    }
    tokens.push_back(std::move(token));
  });
  return tokens;
}

void check_surrounding(const TokenizerParts& parts, const std::string& where) {
  const auto is_known = [&](TokenId id) {
    for (const AddedToken& token : parts.added_tokens) {
      if (token.id == id) return true;
    }
    return parts.model->vocabulary().token(id).has_value();
  };
  for (const auto* ids : {&parts.surrounding.before, &parts.surrounding.after}) {
    for (const TokenId id : *ids) {
      if (!is_known(id))
        throw Error({where, fmt::format("the id {}", id), "ids of the vocabulary or of added tokens", ""});
    }
  }
}

}  // namespace

void read_optional(ConfigReader& reader, std::string_view key, const std::function<void(ConfigReader&)>& read) {
  if (!reader.has(key)) return;
  ConfigReader inner(reader.object(key), reader.where(key));
  read(inner);
  inner.finish();
}

std::unique_ptr<Tokenizer> tokenizer_from_json(const nlohmann::json& document, const std::string& where) {
  ConfigReader reader(document, where);
  TokenizerParts parts;
  ConfigReader model(reader.object("model"), reader.where("model"));
  parts.model = read_model(model);
  model.finish();
  parts.added_tokens = read_added_tokens(reader, parts.model->vocabulary());
  read_optional(reader, "normalizer", [&](ConfigReader& inner) { read_normalizer(inner, parts.normalizer); });
  read_optional(reader, "pre_tokenizer", [&](ConfigReader& inner) { read_pre_tokenizer(inner, parts.pre_tokenizer); });
  read_optional(reader, "decoder", [&](ConfigReader& inner) { read_decoder(inner, parts.decoder); });
  read_optional(reader, "post_processor", [&](ConfigReader& inner) { read_post_processor(inner, parts.surrounding); });
  check_surrounding(parts, reader.where("post_processor"));
  for (const char* ignored : {"version", "truncation", "padding"}) reader.ignore(ignored);
  reader.finish();
  return make_pipeline_tokenizer(std::move(parts));
}

}  // namespace lcomp
