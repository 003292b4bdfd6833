#include "lcomp/quantizers/quantizer_table.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/dense_quantizer.h"
#include "lcomp/quantizers/gptq.h"
#include "lcomp/quantizers/round_to_nearest.h"
#include "method_string.h"
#include "transform_table.h"

namespace lcomp {
namespace {

DenseType dense_type(const std::string& name) {
  return name == "f32" ? DenseType::f32 : name == "bf16" ? DenseType::bf16 : DenseType::f16;
}

Grain read_grain(ConfigReader& reader) {
  Grain grain;
  if (!reader.has("group_size")) return grain;
  if (reader.any("group_size").is_string()) {
    const bool channel = reader.one_of("group_size", {"channel", "tensor"}) == "channel";
    grain.kind = channel ? Grain::Kind::channel : Grain::Kind::tensor;
  } else {
    grain.group_size =
        static_cast<std::size_t>(reader.integer("group_size", 1, std::numeric_limits<std::int32_t>::max()));
  }
  return grain;
}

// The keys that methods with uniform grids share: bits, symmetric, group_size, grid, scales, zeros.
template <typename Options>
Options read_uniform_options(ConfigReader& reader) {
  Options options;
  const std::int64_t bits = reader.integer("bits", 1, 16);
  if (bits > 8 && bits != 16) {
    throw Error({reader.where("bits"), std::to_string(bits), "1 to 8, or 16 for plain f16", ""});
  }
  options.bits = static_cast<int>(bits);
  options.symmetric = reader.boolean_or("symmetric", options.symmetric);
  options.grain = read_grain(reader);
  const std::string grid = reader.one_of_or("grid", "minmax", {"minmax", "mse", "hqq"});
  options.grid = grid == "mse" ? GridFit::mse : grid == "hqq" ? GridFit::hqq : GridFit::minmax;
  const std::string scales = reader.one_of_or("scales", "f16", {"f16", "u8", "f32"});
  options.scale_storage = scales == "f16" ? ScaleStorage::f16 : scales == "u8" ? ScaleStorage::u8 : ScaleStorage::f32;
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
  auto options = read_uniform_options<GptqOptions>(reader);
  if (options.grain.kind == Grain::Kind::tensor) {
    throw Error({reader.where("group_size"), "\"tensor\"", "a number of columns or \"channel\"", ""});
  }
  options.act_order = reader.boolean_or("act_order", options.act_order);
  options.static_groups = reader.boolean_or("static_groups", options.static_groups);
  options.damping = reader.real_or("damping", options.damping, 0, 1);
  options.block_size = static_cast<std::size_t>(reader.integer_or(
      "block_size", static_cast<std::int64_t>(options.block_size), 1, std::numeric_limits<std::int32_t>::max()));
  if (options.bits == 16) return std::make_unique<DenseQuantizer>(DenseType::f16);
  return std::make_unique<GptqQuantizer>(options);
}

std::unique_ptr<Quantizer> make_dense(ConfigReader& reader) {
  return std::make_unique<DenseQuantizer>(dense_type(reader.one_of("type", {"f16", "bf16", "f32"})));
}

struct Method {
  const char* name;
  bool has_bits;
  std::unique_ptr<Quantizer> (*make)(ConfigReader& reader);
};

constexpr Method methods[] = {
    {"dense", false, make_dense},
    {"rtn", true, make_rtn},
    {"gptq", true, make_gptq},
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
  const bool plain_f16 = method.has_bits && object.value("bits", nlohmann::json()) == 16;
  if (plain_f16 || (!transforms.scale && !transforms.rotate)) return quantizer;
  return std::make_unique<TransformedQuantizer>(transforms, std::move(quantizer));
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
