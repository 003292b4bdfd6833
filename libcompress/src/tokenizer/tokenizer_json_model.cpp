#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "tokenizer/tokenizer_json_parts.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

using nlohmann::json;

std::string as_text(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

Vocabulary read_vocabulary(ConfigReader& reader) {
  const std::string where = reader.where("vocab");
  const auto& tokens = reader.object("vocab").get_ref<const json::object_t&>();
  Vocabulary vocabulary(where);
  vocabulary.reserve(tokens.size());
  for (const auto& [token, id] : tokens) {
    if (!id.is_number_integer() || (id.is_number_unsigned() && !std::in_range<std::int64_t>(id.get<std::uint64_t>()))) {
      throw Error({where, fmt::format("the id {} of the token \"{}\"", excerpt(as_text(id)), excerpt(token)),
                   "an integer", ""});
    }
    vocabulary.add(token, id.get<std::int64_t>());
  }
  vocabulary.finish();
  return vocabulary;
}

struct Pair {
  std::string_view left;
  std::string_view right;
};

// A merge is written "left right" or [left, right].
template <typename Place>
Pair pair_of(const json& merge, Place place) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }
  throw Error({place(), "found " + excerpt(as_text(merge)), "\"left right\" or [\"left\", \"right\"]", ""});
}

MergeTable read_merges(ConfigReader& reader, const Vocabulary& vocabulary) {
  const std::string where = reader.where("merges");
  const json& list = reader.array("merges");
  MergeTable merges;
  merges.reserve(list.size());
  std::uint32_t rank = 0;
  std::string joined;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto place = [&] { return fmt::format("{}[{}]", where, i); };
    // merges.txt files begin with a line "#version: 0.2", which has found its way into some tokenizer.json.
    if (list[i].is_string() && list[i].get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = pair_of(list[i], place);
    const auto token_id = [&](std::string_view token) {
      const auto id = vocabulary.find(token);
      if (!id)
        throw Error({place(), fmt::format("the merge of \"{}\" and \"{}\"", excerpt(left), excerpt(right)),
                     fmt::format("\"{}\" among the tokens of vocab", excerpt(token)), ""});
      return *id;
    };
    joined = left;
    joined += right;
    const TokenId left_id = token_id(left), right_id = token_id(right);
    merges.set(left_id, right_id, {rank, token_id(joined)});
    rank = checked_add(rank, std::uint32_t{1}, where);
  }
  return merges;
}

void refuse_affix(ConfigReader& reader, std::string_view key) {
  const std::string affix = reader.string_or(key, "");
  if (!affix.empty())
    throw Error(
        {reader.where(key), fmt::format("found \"{}\"", excerpt(affix)), "none", "This option is not supported."});
}

}  // namespace

std::shared_ptr<const BytePairModel> read_model(ConfigReader& reader) {
  reader.one_of_or("type", "BPE", {"BPE"});
  if (const double dropout = reader.real_or("dropout", 0, 0, 1); dropout > 0) {
    throw Error({reader.where("dropout"), fmt::format("found {}", dropout), "none",
                 "Random merges are for training; set it to null."});
  }
  refuse_affix(reader, "continuing_subword_prefix");
  refuse_affix(reader, "end_of_word_suffix");
  Vocabulary vocabulary = read_vocabulary(reader);
  MergeTable merges = read_merges(reader, vocabulary);
  BytePairOptions options;
  options.fuse_unknown = reader.boolean_or("fuse_unk", false);
  options.byte_fallback = reader.boolean_or("byte_fallback", false);
  options.ignore_merges = reader.boolean_or("ignore_merges", false);
  if (reader.has("unk_token")) {
    const std::string unknown = reader.string("unk_token");
    options.unknown = vocabulary.find(unknown);
    if (!options.unknown)
      throw Error({reader.where("unk_token"), fmt::format("found \"{}\"", excerpt(unknown)), "a token of vocab", ""});
  }
  return std::make_shared<const BytePairModel>(std::move(vocabulary), std::move(merges), std::move(options));
}

}  // namespace lcomp
