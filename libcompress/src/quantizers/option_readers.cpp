#include "quantizers/option_readers.h"

#include <fmt/format.h>

#include <limits>
#include <numbers>
#include <string>

#include "lcomp/core/error.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/quantizers/banded/banded_quantizer.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {
namespace {

constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();

Granularity read_granularity(ConfigReader& reader, Granularity granularity = {}, bool tensor_allowed = true) {
  if (!reader.has("group_size")) return granularity;
  if (reader.any("group_size").is_string()) {
    const std::string name = reader.one_of("group_size", {"channel", "tensor"});
    if (name == "tensor" && !tensor_allowed) {
      throw Error({reader.where("group_size"), "\"tensor\"", "a number of columns or \"channel\"", ""});
    }
    granularity.kind = name == "channel" ? Granularity::Kind::channel : Granularity::Kind::tensor;
  } else {
    granularity.kind = Granularity::Kind::group;
    granularity.group_size = static_cast<std::size_t>(reader.integer("group_size", 1, most));
  }
  return granularity;
}

ScaleStorage read_scale_storage(ConfigReader& reader) {
  const std::string scales = reader.one_of_or("scales", "f16", {"f16", "u8", "f32"});
  return scales == "f16" ? ScaleStorage::f16 : scales == "u8" ? ScaleStorage::u8 : ScaleStorage::f32;
}

// 1 .. 8, or 16; nothing where they are left open.
std::optional<int> read_bits(ConfigReader& reader) {
  if (!reader.has("bits")) return std::nullopt;
  const std::int64_t bits = reader.integer("bits", 1, 16);
  if (bits > 8 && bits != 16) {
    throw Error({reader.where("bits"), std::to_string(bits), "1 to 8, or 16 for plain f16", ""});
  }
  return static_cast<int>(bits);
}

void read_damping(ConfigReader& reader, Damping& options) {
  options.damping = reader.real_or("damping", options.damping, 0, 1);
}

void read_compensation(ConfigReader& reader, ErrorCompensation& options) {
  options.act_order = reader.boolean_or("act_order", options.act_order);
  options.static_groups = reader.boolean_or("static_groups", options.static_groups);
  read_damping(reader, options);
  options.block_size =
      static_cast<std::size_t>(reader.integer_or("block_size", static_cast<std::int64_t>(options.block_size), 1, most));
}

FeedbackSetting read_feedback(ConfigReader& reader) {
  FeedbackSetting feedback;
  feedback.enabled = reader.boolean_or("feedback", feedback.enabled);
  read_compensation(reader, feedback);
  check_feedback(feedback, reader.where());
  return feedback;
}

void read_uniform(ConfigReader& reader, bool tensor_allowed, UniformOptions& options) {
  options.bits = read_bits(reader);
  options.symmetric = reader.boolean_or("symmetric", options.symmetric);
  options.granularity = read_granularity(reader, options.granularity, tensor_allowed);
  const std::string grid = reader.one_of_or("grid", "minmax", {"minmax", "mse", "hqq"});
  options.grid = grid == "mse" ? GridFit::mse : grid == "hqq" ? GridFit::hqq : GridFit::minmax;
  options.scale_storage = read_scale_storage(reader);
  const std::string zeros = reader.one_of_or("zeros", "integer", {"integer", "f16"});
  options.zero_storage = zeros == "f16" ? ZeroStorage::f16 : ZeroStorage::integer;
  if (options.bits == 16) return;
  // What it refuses beside bits is the same for all of them.
  check_setting({options.bits.value_or(8), options.symmetric, options.grid, options.zero_storage}, reader.where());
}

// A number, "sqrt2", or "fit".
std::optional<float> read_base(ConfigReader& reader) {
  if (!reader.has("base")) return LogarithmicOptions{}.base;
  if (!reader.any("base").is_string()) {
    const double base = reader.real("base", 1, static_cast<double>(largest_logarithm_base));
    if (static_cast<float>(base) > 1) return static_cast<float>(base);
    throw Error({reader.where("base"), fmt::format("{}", base), "more than 1", ""});
  }
  if (reader.one_of("base", {"sqrt2", "fit"}) == "fit") return std::nullopt;
  return std::numbers::sqrt2_v<float>;
}

}  // namespace

QuantizerOptions read_dense(ConfigReader& reader) {
  const std::string type = reader.one_of("type", {"f16", "bf16", "f32"});
  return DenseOptions{type == "f32" ? DenseType::f32 : type == "bf16" ? DenseType::bf16 : DenseType::f16};
}

QuantizerOptions read_round_to_nearest(ConfigReader& reader) {
  RoundToNearestOptions options;
  read_uniform(reader, true, options);
  return options;
}

QuantizerOptions read_gptq(ConfigReader& reader) {
  GptqOptions options;
  read_uniform(reader, false, options);
  read_compensation(reader, options);
  return options;
}

QuantizerOptions read_logarithmic(ConfigReader& reader) {
  LogarithmicOptions options;
  options.bits = read_bits(reader);
  options.granularity = read_granularity(reader, options.granularity, false);
  options.base = read_base(reader);
  options.zero_level = reader.boolean_or("zero", options.zero_level);
  options.scale_storage = read_scale_storage(reader);
  options.feedback = read_feedback(reader);
  return options;
}

QuantizerOptions read_normal_float(ConfigReader& reader) {
  NormalFloatOptions options;
  options.bits = read_bits(reader);
  options.granularity = read_granularity(reader, options.granularity, false);
  options.fit = reader.one_of_or("grid", "absmax", {"absmax", "mse"}) == "mse" ? TableFit::mse : TableFit::absmax;
  options.scale_storage = read_scale_storage(reader);
  options.feedback = read_feedback(reader);
  return options;
}

QuantizerOptions read_codebook(ConfigReader& reader) {
  CodebookOptions options;
  options.bits = read_bits(reader);
  options.granularity = read_granularity(reader, options.granularity, false);
  const std::string fit = reader.one_of_or("fit", "dynamic", {"dynamic", "exact", "lloyd"});
  options.fit = fit == "dynamic" ? KmeansFit::dynamic : fit == "exact" ? KmeansFit::exact : KmeansFit::lloyd;
  options.feedback = read_feedback(reader);
  return options;
}

QuantizerOptions read_lnq(ConfigReader& reader) {
  LnqOptions options;
  options.bits = read_bits(reader);
  const auto count = [&reader](const char* key, std::size_t otherwise) {
    return static_cast<std::size_t>(reader.integer_or(key, static_cast<std::int64_t>(otherwise), 0, 1000));
  };
  options.alternations = count("alternations", options.alternations);
  options.cycles = count("cycles", options.cycles);
  options.act_order = reader.boolean_or("act_order", options.act_order);
  read_damping(reader, options);
  return options;
}

QuantizerOptions read_rate_coded(ConfigReader& reader) {
  RateCodedOptions options;
  if (reader.has("precision")) options.precision = reader.real("precision", -64, 64);
  if (reader.has("bits")) options.bits = reader.real("bits", 0, 16);
  options.precision_offset = reader.real_or("offset", options.precision_offset, -16, 16);
  options.row_steps = reader.boolean_or("rows", options.row_steps);
  options.column_steps = reader.boolean_or("columns", options.column_steps);
  options.guided = !reader.boolean_or("plain", !options.guided);
  options.trellis_memory = static_cast<int>(reader.integer_or("trellis", options.trellis_memory, 0, 16));
  options.rate_weight = reader.real_or("rate_weight", options.rate_weight, 0, 10);
  options.row_exponent = reader.real_or("row_exponent", options.row_exponent, 0, largest_step_exponent);
  options.column_exponent = reader.real_or("column_exponent", options.column_exponent, 0, largest_step_exponent);
  options.embedding_weight = reader.real_or("embedding_weight", options.embedding_weight, 0, 1000);
  read_damping(reader, options);
  options.min_bits = reader.real_or("min_bits", options.min_bits, 0, 16);
  options.max_bits = reader.real_or("max_bits", options.max_bits, 0, 16);
  check_rate_coded(options, reader.where());
  return options;
}

QuantizerOptions read_banded(ConfigReader& reader) {
  BandedOptions options;
  if (reader.has("bits")) options.bits = reader.real("bits", 0, 64);
  options.symmetric = reader.boolean_or("symmetric", options.symmetric);
  options.grid = reader.one_of_or("grid", "mse", {"minmax", "mse"}) == "mse" ? GridFit::mse : GridFit::minmax;
  options.equal_widths = reader.boolean_or("equal_widths", options.equal_widths);
  options.guided = !reader.boolean_or("plain", !options.guided);
  options.embedding_weight = reader.real_or("embedding_weight", options.embedding_weight, 0, 1000);
  options.shrinkage_weight = reader.real_or("shrinkage_weight", options.shrinkage_weight, 0, 1000);
  read_damping(reader, options);
  options.precision_offset = reader.real_or("offset", options.precision_offset, -16, 16);
  options.min_bits = reader.real_or("min_bits", options.min_bits, 0, 16);
  options.max_bits = reader.real_or("max_bits", options.max_bits, 0, 16);
  check_banded(options, reader.where());
  return options;
}

}  // namespace lcomp
