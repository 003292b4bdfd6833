#include "interchange/ggml_type_table.h"

#include <array>
#include <cassert>
#include <utility>

namespace lcomp {
namespace {

constexpr std::array<GgmlTypeEntry, 20> kGgmlTypes = {{
    {GgmlType::f32, "F32", {1, 4}},
    {GgmlType::f16, "F16", {1, 2}},
    {GgmlType::q4_0, "Q4_0", {32, 2 + 16}},
    {GgmlType::q4_1, "Q4_1", {32, 2 + 2 + 16}},
    {GgmlType::q5_0, "Q5_0", {32, 2 + 4 + 16}},
    {GgmlType::q5_1, "Q5_1", {32, 2 + 2 + 4 + 16}},
    {GgmlType::q8_0, "Q8_0", {32, 2 + 32}},
    {GgmlType::q2_k, "Q2_K", {256, 16 + 64 + 2 + 2}},
    {GgmlType::q3_k, "Q3_K", {256, 32 + 64 + 12 + 2}},
    {GgmlType::q4_k, "Q4_K", {256, 2 + 2 + 12 + 128}},
    {GgmlType::q5_k, "Q5_K", {256, 2 + 2 + 12 + 32 + 128}},
    {GgmlType::q6_k, "Q6_K", {256, 128 + 64 + 16 + 2}},
    {GgmlType::iq4_nl, "IQ4_NL", {32, 2 + 16}},
    {GgmlType::iq4_xs, "IQ4_XS", {256, 2 + 2 + 4 + 128}},
    {GgmlType::i8, "I8", {1, 1}},
    {GgmlType::i16, "I16", {1, 2}},
    {GgmlType::i32, "I32", {1, 4}},
    {GgmlType::i64, "I64", {1, 8}},
    {GgmlType::f64, "F64", {1, 8}},
    {GgmlType::bf16, "BF16", {1, 2}},
}};

// ggml's numbers for types that we don't decode.
constexpr std::array<std::pair<std::uint32_t, std::string_view>, 15> kUnsupported = {{
    {9, "Q8_1"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {29, "IQ1_M"},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {39, "MXFP4"},
    {40, "NVFP4"},
    {41, "Q1_0"},
    {4, "Q4_2"},
}};

const GgmlTypeEntry& entry(GgmlType type) {
  for (const GgmlTypeEntry& candidate : kGgmlTypes) {
    if (candidate.type == type) return candidate;
  }
  assert(false && "a GgmlType without a row in the table");
  return kGgmlTypes[0];
}

}  // namespace

std::string_view name(GgmlType type) { return entry(type).name; }

GgmlBlock block_of(GgmlType type) { return entry(type).block; }

std::optional<GgmlType> ggml_type_from_number(std::uint32_t number) {
  for (const GgmlTypeEntry& candidate : kGgmlTypes) {
    if (static_cast<std::uint32_t>(candidate.type) == number) return candidate.type;
  }
  return std::nullopt;
}

std::string supported_ggml_types() {
  std::string text;
  for (const GgmlTypeEntry& candidate : kGgmlTypes) {
    if (!text.empty()) text += ", ";
    text += candidate.name;
  }
  return text;
}

std::string unsupported_ggml_type_name(std::uint32_t number) {
  for (const auto& [known, known_name] : kUnsupported) {
    if (known == number) return std::string(known_name);
  }
  return "number " + std::to_string(number);
}

}  // namespace lcomp
