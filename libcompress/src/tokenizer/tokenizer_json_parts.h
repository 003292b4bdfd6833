#pragma once

#include <memory>
#include <vector>

#include "lcomp/io/config_reader.h"
#include "tokenizer/pipeline_tokenizer.h"

namespace lcomp {

// Each reads one component of a tokenizer.json and appends its steps; a Sequence appends those of its members. They
// throw Error for components and options that are not known.
void read_normalizer(ConfigReader& reader, std::vector<NormalizerStep>& steps);
void read_pre_tokenizer(ConfigReader& reader, std::vector<PreTokenizerStep>& steps);
void read_decoder(ConfigReader& reader, std::vector<DecoderStep>& steps);
void read_post_processor(ConfigReader& reader, SurroundingTokens& tokens);

std::shared_ptr<const BytePairModel> read_model(ConfigReader& reader);

// The pattern {"String": text} or {"Regex": expression}.
TextPattern read_pattern(ConfigReader& reader, std::string_view key);
// A string of one character.
char32_t read_character(ConfigReader& reader, std::string_view key);

// The value of `key` of an object that may be null or absent: `read` is called with a reader of it, which is finished.
void read_optional(ConfigReader& reader, std::string_view key, const std::function<void(ConfigReader&)>& read);

}  // namespace lcomp
