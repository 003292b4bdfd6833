// Source: llama.cpp, src/llama-vocab.cpp (which name means which kind), and the tokenizer.json of the models.
#include "interchange/gguf_pre_tokenizer.h"

#include <fmt/format.h>

#include <array>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using nlohmann::json;

enum class Kind { gpt2, single_digits, llama3, qwen2, deepseek_coder, tekken, gpt4o };

struct Name {
  std::string_view name;
  Kind kind;
  bool ignore_merges = false;
  bool adds_begin = false;
};

constexpr std::array<Name, 23> kNames = {{
    {"default", Kind::gpt2},
    {"gpt-2", Kind::gpt2},
    {"phi-2", Kind::gpt2},
    {"mpt", Kind::gpt2},
    {"olmo", Kind::gpt2},
    {"smollm", Kind::single_digits},
    {"starcoder", Kind::single_digits},
    {"refact", Kind::single_digits},
    {"command-r", Kind::single_digits},
    {"codeshell", Kind::single_digits},
    {"exaone", Kind::single_digits},
    {"llama-bpe", Kind::llama3, true, true},
    {"llama3", Kind::llama3, true, true},
    {"llama-v3", Kind::llama3, true, true},
    {"falcon3", Kind::llama3, true, true},
    {"dbrx", Kind::llama3},
    {"smaug-bpe", Kind::llama3},
    {"qwen2", Kind::qwen2},
    {"deepseek-r1-qwen", Kind::qwen2},
    {"stablelm2", Kind::qwen2},
    {"deepseek-coder", Kind::deepseek_coder},
    {"tekken", Kind::tekken, true, true},
    {"gpt-4o", Kind::gpt4o},
}};

constexpr const char* kLlama3Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kQwen2Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
// Words of mixed case are cut before a capital: lower-case letters end a word.
constexpr const char* kTekkenPattern =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|"
    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kGpt4oPattern =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|"
    "'d)?|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|"
    "'d)?|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

json split(const char* pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

json sequence(json steps) { return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}; }

json pre_tokenizer(Kind kind) {
  const json digits = {{"type", "Digits"}, {"individual_digits", true}};
  switch (kind) {
    case Kind::gpt2:
      return byte_level_component(true);
    case Kind::single_digits:
      return sequence({digits, byte_level_component(true)});
    case Kind::llama3:
      return sequence({split(kLlama3Pattern), byte_level_component(false)});
    case Kind::qwen2:
      return sequence({split(kQwen2Pattern), byte_level_component(false)});
    case Kind::deepseek_coder:
      return sequence({split("[\\r\\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"),
                       split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), digits, byte_level_component(false)});
    case Kind::tekken:
      return sequence({split(kTekkenPattern), byte_level_component(false)});
    case Kind::gpt4o:
      return sequence({split(kGpt4oPattern), byte_level_component(false)});
  }
  return nullptr;
}

}  // namespace

json byte_level_component(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

GgufPreTokenizer gguf_pre_tokenizer(std::string_view name, const std::string& where) {
  std::string known;
  for (const Name& entry : kNames) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.name);
    if (entry.name != name) continue;
    const json normalizer = entry.kind == Kind::qwen2 ? json{{"type", "NFC"}} : json(nullptr);
    return {normalizer, pre_tokenizer(entry.kind), entry.ignore_merges, entry.adds_begin};
  }
  throw Error({where, fmt::format("the pre-tokenizer \"{}\"", name), "one of " + known,
               "put the model's tokenizer.json into a Hugging Face folder"});
}

}  // namespace lcomp
