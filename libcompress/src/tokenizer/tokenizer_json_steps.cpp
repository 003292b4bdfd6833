#include <fmt/format.h>

#include <limits>
#include <map>
#include <string>

#include "lcomp/core/error.h"
#include "tokenizer/tokenizer_json_parts.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

template <typename Value>
using Names = std::map<std::string, Value>;

template <typename Value>
std::vector<std::string> names_of(const Names<Value>& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  return names;
}

template <typename Value>
Value read_choice(ConfigReader& reader, std::string_view key, const std::string& otherwise,
                  const Names<Value>& values) {
  return values.at(reader.one_of_or(key, otherwise, names_of(values)));
}

SplitBehavior read_behavior(ConfigReader& reader) {
  return read_choice<SplitBehavior>(reader, "behavior", "Isolated",
                                    {{"Removed", SplitBehavior::removed},
                                     {"Isolated", SplitBehavior::isolated},
                                     {"MergedWithPrevious", SplitBehavior::merged_with_previous},
                                     {"MergedWithNext", SplitBehavior::merged_with_next},
                                     {"Contiguous", SplitBehavior::contiguous}});
}

MetaspaceStep read_metaspace(ConfigReader& reader) {
  MetaspaceStep step;
  append_character(step.replacement, read_character(reader, "replacement"));
  step.prepend = read_choice<PrependScheme>(
      reader, "prepend_scheme", "always",
      {{"always", PrependScheme::always}, {"first", PrependScheme::first}, {"never", PrependScheme::never}});
  // The older name of the option; files written lately have both.
  if (!reader.boolean_or("add_prefix_space", true)) {
    if (reader.has("prepend_scheme") && step.prepend != PrependScheme::never) {
      throw Error({reader.where("add_prefix_space"), "found false", "true, to agree with prepend_scheme", ""});
    }
    step.prepend = PrependScheme::never;
  }
  step.split = reader.boolean_or("split", true);
  reader.ignore("str_rep");
  return step;
}

void ignore_byte_level_options(ConfigReader& reader) {
  // They decide the offsets of tokens in the text, which are not computed here, or belong to the pre-tokenizer alone.
  for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) reader.ignore(key);
}

}  // namespace

char32_t read_character(ConfigReader& reader, std::string_view key) {
  const std::string text = reader.string(key);
  if (text.empty() || !is_valid_utf8(text) || character_at(text, 0).size != text.size()) {
    throw Error({reader.where(key), fmt::format("found \"{}\"", excerpt(text)), "one character", ""});
  }
  return character_at(text, 0).code_point;
}

TextPattern read_pattern(ConfigReader& reader, std::string_view key) {
  ConfigReader pattern(reader.object(key), reader.where(key));
  const bool is_regex = pattern.has("Regex");
  const std::string text = pattern.string(is_regex ? "Regex" : "String");
  pattern.finish();
  if (text.empty()) throw Error({reader.where(key), "an empty pattern", "a string or regular expression", ""});
  if (is_regex) return TextPattern::regular_expression(text, pattern.where("Regex"));
  return TextPattern::literal(text);
}

void read_normalizer(ConfigReader& reader, std::vector<NormalizerStep>& steps) {
  const std::string type = reader.one_of(
      "type", {"NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace", "Lowercase", "Strip", "StripAccents", "Sequence"});
  if (type == "Sequence") {
    reader.each_object("normalizers", [&](ConfigReader& inner) { read_normalizer(inner, steps); });
  } else if (type == "NFC") {
    steps.emplace_back(NormalizationForm::nfc);
  } else if (type == "NFD") {
    steps.emplace_back(NormalizationForm::nfd);
  } else if (type == "NFKC") {
    steps.emplace_back(NormalizationForm::nfkc);
  } else if (type == "NFKD") {
    steps.emplace_back(NormalizationForm::nfkd);
  } else if (type == "Prepend") {
    steps.emplace_back(PrependStep{reader.string("prepend")});
  } else if (type == "Replace") {
    steps.emplace_back(ReplaceStep{read_pattern(reader, "pattern"), reader.string("content")});
  } else if (type == "Lowercase") {
    steps.emplace_back(LowercaseStep{});
  } else if (type == "Strip") {
    steps.emplace_back(StripStep{reader.boolean_or("strip_left", true), reader.boolean_or("strip_right", true)});
  } else {
    steps.emplace_back(StripAccentsStep{});
  }
}

void read_pre_tokenizer(ConfigReader& reader, std::vector<PreTokenizerStep>& steps) {
  const std::string type = reader.one_of("type", {"ByteLevel", "Split", "Digits", "Metaspace", "Whitespace",
                                                  "WhitespaceSplit", "Punctuation", "Sequence"});
  if (type == "Sequence") {
    reader.each_object("pretokenizers", [&](ConfigReader& inner) { read_pre_tokenizer(inner, steps); });
  } else if (type == "ByteLevel") {
    ByteLevelStep step{reader.boolean_or("add_prefix_space", true), std::nullopt};
    if (reader.boolean_or("use_regex", true)) step.pattern = gpt2_pattern();
    reader.ignore("trim_offsets");
    steps.emplace_back(std::move(step));
  } else if (type == "Split") {
    TextPattern pattern = read_pattern(reader, "pattern");
    const SplitBehavior behavior = read_behavior(reader);
    steps.emplace_back(SplitStep{std::move(pattern), behavior, reader.boolean_or("invert", false)});
  } else if (type == "Digits") {
    steps.emplace_back(digits_step(reader.boolean_or("individual_digits", false)));
  } else if (type == "Metaspace") {
    steps.emplace_back(read_metaspace(reader));
  } else if (type == "Whitespace") {
    steps.emplace_back(whitespace_step());
  } else if (type == "WhitespaceSplit") {
    steps.emplace_back(whitespace_split_step());
  } else {
    steps.emplace_back(punctuation_step(read_behavior(reader)));
  }
}

void read_decoder(ConfigReader& reader, std::vector<DecoderStep>& steps) {
  const std::string type =
      reader.one_of("type", {"ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Metaspace", "Sequence"});
  if (type == "Sequence") {
    reader.each_object("decoders", [&](ConfigReader& inner) { read_decoder(inner, steps); });
  } else if (type == "ByteLevel") {
    ignore_byte_level_options(reader);
    steps.emplace_back(ByteLevelDecoderStep{});
  } else if (type == "ByteFallback") {
    steps.emplace_back(ByteFallbackDecoderStep{});
  } else if (type == "Fuse") {
    steps.emplace_back(FuseDecoderStep{});
  } else if (type == "Strip") {
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    StripDecoderStep step{read_character(reader, "content"), 0, 0};
    step.start = static_cast<std::size_t>(reader.integer("start", 0, most));
    step.stop = static_cast<std::size_t>(reader.integer("stop", 0, most));
    steps.emplace_back(step);
  } else if (type == "Replace") {
    steps.emplace_back(ReplaceDecoderStep{read_pattern(reader, "pattern"), reader.string("content")});
  } else {
    const MetaspaceStep step = read_metaspace(reader);
    steps.emplace_back(MetaspaceDecoderStep{step.replacement, step.prepend != PrependScheme::never});
  }
}

}  // namespace lcomp
