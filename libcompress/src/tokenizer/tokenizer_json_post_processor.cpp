#include <fmt/format.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "lcomp/core/error.h"
#include "tokenizer/tokenizer_json_parts.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

using nlohmann::json;

constexpr std::int64_t highest_id = std::numeric_limits<TokenId>::max() - 1;

std::vector<TokenId> token_ids(ConfigReader& reader, std::string_view key) {
  std::vector<TokenId> ids;
  for (const std::int64_t id : reader.integers(key, 0, highest_id)) ids.push_back(static_cast<TokenId>(id));
  return ids;
}

// {"single": [{"SpecialToken": {"id": "<s>", ...}}, {"Sequence": {"id": "A", ...}}], "special_tokens": {"<s>": {"ids":
// [1], ...}}, ...}
SurroundingTokens read_template(ConfigReader& reader) {
  const std::string special_where = reader.where("special_tokens");
  const json& special_tokens = reader.object("special_tokens");
  SurroundingTokens tokens;
  bool after = false;
  reader.each_object("single", [&](ConfigReader& item) {
    const bool is_text = item.has("Sequence");
    const char* kind = is_text ? "Sequence" : "SpecialToken";
    ConfigReader entry(item.object(kind), item.where(kind));
    const std::string id = entry.string("id");
    entry.ignore("type_id");
    entry.finish();
    if (is_text) {
      if (id != "A" || after)
        throw Error({entry.where("id"), fmt::format("found \"{}\"", excerpt(id)), "the one sequence A", ""});
      after = true;
      return;
    }
    const auto found = special_tokens.find(id);
    if (found == special_tokens.end()) {
      throw Error({entry.where("id"), fmt::format("found \"{}\"", excerpt(id)), "one of special_tokens", ""});
    }
    ConfigReader special(*found, fmt::format("{}.{}", special_where, excerpt(id)));
    const std::vector<TokenId> ids = token_ids(special, "ids");
    for (const char* ignored : {"id", "tokens"}) special.ignore(ignored);
    special.finish();
    std::vector<TokenId>& side = after ? tokens.after : tokens.before;
    side.insert(side.end(), ids.begin(), ids.end());
  });
  if (!after) throw Error({reader.where("single"), "a template without the text", "the sequence A in it", ""});
  reader.ignore("pair");
  return tokens;
}

// ["[SEP]", 102]
TokenId read_token_and_id(ConfigReader& reader, std::string_view key) {
  const json& pair = reader.array(key);
  if (pair.size() == 2 && pair[0].is_string() && pair[1].is_number_integer()) {
    const auto id = pair[1].get<std::int64_t>();
    if (id >= 0 && id <= highest_id) return static_cast<TokenId>(id);
  }
  throw Error({reader.where(key), "found " + excerpt(pair.dump(-1, ' ', false, json::error_handler_t::replace)),
               "[token, id]", ""});
}

}  // namespace

void read_post_processor(ConfigReader& reader, SurroundingTokens& tokens) {
  const std::string type =
      reader.one_of("type", {"TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence"});
  if (type == "Sequence") {
    reader.each_object("processors", [&](ConfigReader& inner) { read_post_processor(inner, tokens); });
    return;
  }
  for (const char* of_offsets : {"add_prefix_space", "trim_offsets", "use_regex"}) {
    if (type == "ByteLevel" || type == "RobertaProcessing") reader.ignore(of_offsets);
  }
  if (type == "ByteLevel") return;
  SurroundingTokens added;
  if (type == "TemplateProcessing") {
    added = read_template(reader);
  } else {
    added.before = {read_token_and_id(reader, "cls")};
    added.after = {read_token_and_id(reader, "sep")};
  }
  if (!tokens.before.empty() || !tokens.after.empty()) {
    throw Error(
        {reader.where(), "a second processor that adds tokens", "one", "The meaning of two in a row is not defined."});
  }
  tokens = std::move(added);
}

}  // namespace lcomp
