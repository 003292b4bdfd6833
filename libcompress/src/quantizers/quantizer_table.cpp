#include "lcomp/quantizers/quantizer_table.h"

#include <numbers>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/dense_quantizer.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"
#include "quantizers/feedback/gptq.h"
#include "quantizers/method_string.h"
#include "quantizers/tables/codebook_quantizer.h"
#include "quantizers/tables/lnq.h"
#include "quantizers/tables/logarithmic_quantizer.h"
#include "quantizers/tables/normal_float.h"
#include "quantizers/transforms/transform_table.h"
#include "quantizers/uniform/round_to_nearest.h"

namespace lcomp {
namespace {

DenseType dense_type(const std::string& name) {
  return name == "f32" ? DenseType::f32 : name == "bf16" ? DenseType::bf16 : DenseType::f16;
}

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

// 1 .. 8, or 16.
int read_bits(ConfigReader& reader) {
  const std::int64_t bits = reader.integer("bits", 1, 16);
  if (bits > 8 && bits != 16) {
    throw Error({reader.where("bits"), std::to_string(bits), "1 to 8, or 16 for plain f16", ""});
  }
  return static_cast<int>(bits);
}

std::size_t read_block_size(ConfigReader& reader, std::size_t otherwise) {
  return static_cast<std::size_t>(reader.integer_or("block_size", static_cast<std::int64_t>(otherwise), 1, most));
}

// The keys that methods with uniform grids share: bits, symmetric, group_size, grid, scales, zeros.
template <typename Options>
Options read_uniform_options(ConfigReader& reader, bool tensor_allowed = true) {
  Options options;
  options.bits = read_bits(reader);
  options.symmetric = reader.boolean_or("symmetric", options.symmetric);
  options.granularity = read_granularity(reader, options.granularity, tensor_allowed);
  const std::string grid = reader.one_of_or("grid", "minmax", {"minmax", "mse", "hqq"});
  options.grid = grid == "mse" ? GridFit::mse : grid == "hqq" ? GridFit::hqq : GridFit::minmax;
  options.scale_storage = read_scale_storage(reader);
  const std::string zeros = reader.one_of_or("zeros", "integer", {"integer", "f16"});
  options.zero_storage = zeros == "f16" ? ZeroStorage::f16 : ZeroStorage::integer;
  if (options.bits != 16) {
    check_setting({options.bits, options.symmetric, options.grid, options.zero_storage}, reader.where());
  }
  return options;
}

std::unique_ptr<Quantizer> make_rtn(ConfigReader& reader) {
  const auto options = read_uniform_options<RoundToNearestOptions>(reader);
  if (options.bits == 16) return std::make_unique<DenseQuantizer>(DenseType::f16);
  return std::make_unique<RoundToNearest>(options);
}

std::unique_ptr<Quantizer> make_gptq(ConfigReader& reader) {
  auto options = read_uniform_options<GptqOptions>(reader, false);
  options.act_order = reader.boolean_or("act_order", options.act_order);
  options.static_groups = reader.boolean_or("static_groups", options.static_groups);
  options.damping = reader.real_or("damping", options.damping, 0, 1);
  options.block_size = read_block_size(reader, options.block_size);
  if (options.bits == 16) return std::make_unique<DenseQuantizer>(DenseType::f16);
  return std::make_unique<GptqQuantizer>(options);
}

std::unique_ptr<Quantizer> make_dense(ConfigReader& reader) {
  return std::make_unique<DenseQuantizer>(dense_type(reader.one_of("type", {"f16", "bf16", "f32"})));
}

// The keys of feedback, which methods to tables of levels share.
FeedbackSetting read_feedback(ConfigReader& reader) {
  FeedbackSetting feedback;
  feedback.enabled = reader.boolean_or("feedback", feedback.enabled);
  feedback.act_order = reader.boolean_or("act_order", feedback.act_order);
  feedback.static_groups = reader.boolean_or("static_groups", feedback.static_groups);
  feedback.damping = reader.real_or("damping", feedback.damping, 0, 1);
  feedback.block_size = read_block_size(reader, feedback.block_size);
  check_feedback(feedback, reader.where());
  return feedback;
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

std::unique_ptr<Quantizer> make_logarithmic_quantizer(ConfigReader& reader) {
  LogarithmicOptions options;
  options.bits = read_bits(reader);
  options.granularity = read_granularity(reader, options.granularity, false);
  options.base = read_base(reader);
  options.zero_level = reader.boolean_or("zero", options.zero_level);
  options.scale_storage = read_scale_storage(reader);
  options.feedback = read_feedback(reader);
  if (options.bits == 16) return std::make_unique<DenseQuantizer>(DenseType::f16);
  return std::make_unique<LogarithmicQuantizer>(options);
}

std::unique_ptr<Quantizer> make_normal_float(ConfigReader& reader) {
  NormalFloatOptions options;
  options.bits = read_bits(reader);
  options.granularity = read_granularity(reader, options.granularity, false);
  options.fit = reader.one_of_or("grid", "absmax", {"absmax", "mse"}) == "mse" ? TableFit::mse : TableFit::absmax;
  options.scale_storage = read_scale_storage(reader);
  options.feedback = read_feedback(reader);
  if (options.bits == 16) return std::make_unique<DenseQuantizer>(DenseType::f16);
  return std::make_unique<NormalFloatQuantizer>(options);
}

std::unique_ptr<Quantizer> make_codebook_quantizer(ConfigReader& reader) {
  CodebookOptions options;
  options.bits = read_bits(reader);
  options.granularity = read_granularity(reader, options.granularity, false);
  const std::string fit = reader.one_of_or("fit", "dynamic", {"dynamic", "exact", "lloyd"});
  options.fit = fit == "dynamic" ? KmeansFit::dynamic : fit == "exact" ? KmeansFit::exact : KmeansFit::lloyd;
  options.feedback = read_feedback(reader);
  if (options.bits == 16) return std::make_unique<DenseQuantizer>(DenseType::f16);
  return std::make_unique<CodebookQuantizer>(options);
}

std::unique_ptr<Quantizer> make_lnq(ConfigReader& reader) {
  LnqOptions options;
  options.bits = read_bits(reader);
  const auto count = [&reader](const char* key, std::size_t otherwise) {
    return static_cast<std::size_t>(reader.integer_or(key, static_cast<std::int64_t>(otherwise), 0, 1000));
  };
  options.alternations = count("alternations", options.alternations);
  options.cycles = count("cycles", options.cycles);
  options.act_order = reader.boolean_or("act_order", options.act_order);
  options.damping = reader.real_or("damping", options.damping, 0, 1);
  if (options.bits == 16) return std::make_unique<DenseQuantizer>(DenseType::f16);
  return std::make_unique<LnqQuantizer>(options);
}

RateCodedOptions read_rate_options(ConfigReader& reader) {
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
  options.damping = reader.real_or("damping", options.damping, 0, 1);
  options.min_bits = reader.real_or("min_bits", options.min_bits, 0, 16);
  options.max_bits = reader.real_or("max_bits", options.max_bits, 0, 16);
  return options;
}

std::unique_ptr<Quantizer> make_rate_coded(ConfigReader& reader) {
  return std::make_unique<RateCodedQuantizer>(read_rate_options(reader));
}

BandedOptions read_banded_options(ConfigReader& reader) {
  BandedOptions options;
  if (reader.has("bits")) options.bits = reader.real("bits", 0, 64);
  options.symmetric = reader.boolean_or("symmetric", options.symmetric);
  options.grid = reader.one_of_or("grid", "mse", {"minmax", "mse"}) == "mse" ? GridFit::mse : GridFit::minmax;
  options.equal_widths = reader.boolean_or("equal_widths", options.equal_widths);
  options.guided = !reader.boolean_or("plain", !options.guided);
  options.embedding_weight = reader.real_or("embedding_weight", options.embedding_weight, 0, 1000);
  options.shrinkage_weight = reader.real_or("shrinkage_weight", options.shrinkage_weight, 0, 1000);
  options.damping = reader.real_or("damping", options.damping, 0, 1);
  options.precision_offset = reader.real_or("offset", options.precision_offset, -16, 16);
  options.min_bits = reader.real_or("min_bits", options.min_bits, 0, 16);
  options.max_bits = reader.real_or("max_bits", options.max_bits, 0, 16);
  return options;
}

std::unique_ptr<Quantizer> make_banded(ConfigReader& reader) {
  return std::make_unique<BandedQuantizer>(read_banded_options(reader));
}

struct Method {
  const char* name;
  bool has_bits;
  std::unique_ptr<Quantizer> (*make)(ConfigReader& reader);
};

constexpr Method methods[] = {
    {"dense", false, make_dense},    {"rtn", true, make_rtn},
    {"gptq", true, make_gptq},       {"log", true, make_logarithmic_quantizer},
    {"nf", true, make_normal_float}, {"codebook", true, make_codebook_quantizer},
    {"lnq", true, make_lnq},         {"rate", false, make_rate_coded},
    {"banded", false, make_banded},
};

const Method& method_of(ConfigReader& reader) {
  const std::string chosen = reader.one_of("method", quantizer_methods());
  for (const Method& method : methods) {
    if (chosen == method.name) return method;
  }
  return methods[0];
}

}  // namespace

std::vector<std::string> quantizer_methods() {
  std::vector<std::string> names;
  for (const Method& method : methods) names.emplace_back(method.name);
  return names;
}

nlohmann::json setting_object(const nlohmann::json& setting, const std::string& where) {
  return setting.is_string() ? parse_method_string(setting.get_ref<const std::string&>(), where) : setting;
}

std::unique_ptr<Quantizer> make_quantizer(const nlohmann::json& setting, const std::string& where) {
  const nlohmann::json object = setting_object(setting, where);
  ConfigReader reader(object,
                      setting.is_string() ? fmt::format("{}, \"{}\"", where, setting.get<std::string>()) : where);
  const TransformOptions transforms = read_transforms(reader);
  const Method& method = method_of(reader);
  auto quantizer = method.make(reader);
  reader.finish();
  const nlohmann::json name = object.value("method", nlohmann::json());
  if ((name == "rate" || name == "banded") && (transforms.scale || transforms.rotate)) {
    throw Error({reader.where(), "transforms around " + name.get<std::string>(),
                 "none: its steps and widths do what they do", ""});
  }
  const bool plain_f16 = method.has_bits && object.value("bits", nlohmann::json()) == 16;
  if (plain_f16 || (!transforms.scale && !transforms.rotate)) return quantizer;
  return std::make_unique<TransformedQuantizer>(transforms, std::move(quantizer));
}

std::optional<InputScalingOptions> take_folded_scale(nlohmann::json& setting, const std::string& where) {
  nlohmann::json object = setting_object(setting, where);
  ConfigReader reader(object, where);
  const std::optional<InputScalingOptions> scale = read_transforms(reader).scale;
  for (const std::string& key : reader.unread_keys()) reader.ignore(key);
  reader.finish();
  if (!scale || !scale->fold) return std::nullopt;
  nlohmann::json& transforms = object["transforms"];
  transforms.erase(transforms.begin());  // scale comes first
  if (transforms.empty()) object.erase("transforms");
  setting = std::move(object);
  return scale;
}

bool has_precision(const nlohmann::json& setting, const std::string& where) {
  const nlohmann::json object = setting_object(setting, where);
  return object.is_object() && object.value("method", nlohmann::json()) == "rate";
}

RateCodedOptions open_rate_options(const nlohmann::json& setting, const std::string& where) {
  ConfigReader reader(setting, where);
  reader.ignore("method");
  RateCodedOptions options = read_rate_options(reader);
  reader.finish();
  RateCodedOptions complete = options;  // what is left open, set to anything
  if (!complete.precision && !complete.bits) complete.precision = 0;
  check_rate_coded(complete, where);
  return options;
}

bool has_bands(const nlohmann::json& setting, const std::string& where) {
  const nlohmann::json object = setting_object(setting, where);
  return object.is_object() && object.value("method", nlohmann::json()) == "banded";
}

BandedOptions open_banded_options(const nlohmann::json& setting, const std::string& where) {
  ConfigReader reader(setting, where);
  reader.ignore("method");
  BandedOptions options = read_banded_options(reader);
  reader.finish();
  check_banded(options, where);
  return options;
}

bool has_bits(const nlohmann::json& setting, const std::string& where) {
  const nlohmann::json object = setting_object(setting, where);
  ConfigReader reader(object, where);
  const bool answer = method_of(reader).has_bits;
  for (const std::string& key : reader.unread_keys()) reader.ignore(key);
  reader.finish();
  return answer;
}

}  // namespace lcomp
