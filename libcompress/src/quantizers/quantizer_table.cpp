#include "lcomp/quantizers/quantizer_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/banded/banded_quantizer.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"
#include "quantizers/dense_quantizer.h"
#include "quantizers/feedback/gptq.h"
#include "quantizers/method_string.h"
#include "quantizers/option_readers.h"
#include "quantizers/tables/codebook_quantizer.h"
#include "quantizers/tables/lnq.h"
#include "quantizers/tables/logarithmic_quantizer.h"
#include "quantizers/tables/normal_float.h"
#include "quantizers/transforms/transform_table.h"
#include "quantizers/transforms/transformed_quantizer.h"
#include "quantizers/uniform/round_to_nearest.h"

namespace lcomp {
namespace {

struct Method {
  const char* name;
  QuantizerOptions (*read)(ConfigReader& reader);
};

constexpr Method methods[] = {
    {"dense", read_dense},     {"rtn", read_round_to_nearest}, {"gptq", read_gptq},
    {"log", read_logarithmic}, {"nf", read_normal_float},      {"codebook", read_codebook},
    {"lnq", read_lnq},         {"rate", read_rate_coded},      {"banded", read_banded},
};

const Method& method_of(ConfigReader& reader) {
  const std::string chosen = reader.one_of("method", quantizer_methods());
  return *std::ranges::find_if(methods, [&](const Method& method) { return chosen == method.name; });
}

// Where errors of a setting begin: a method string is quoted.
std::string place_of(const nlohmann::json& setting, const std::string& where) {
  return setting.is_string() ? fmt::format("{}, \"{}\"", where, setting.get<std::string>()) : where;
}

template <typename Options>
constexpr bool has_width = std::is_same_v<decltype(std::declval<Options>().bits), std::optional<int>>;
template <>
constexpr bool has_width<DenseOptions> = false;

// Methods with a bit width take 16 bits to mean plain f16, without transforms.
bool is_plain_f16(const QuantizerSetting& setting) {
  return std::visit(
      [](const auto& options) {
        if constexpr (has_width<std::decay_t<decltype(options)>>) return options.bits == 16;
        return false;
      },
      setting.options);
}

struct Maker {
  using Made = std::unique_ptr<Quantizer>;
  Made operator()(const DenseOptions& options) const { return std::make_unique<DenseQuantizer>(options.type); }
  Made operator()(const RoundToNearestOptions& options) const { return std::make_unique<RoundToNearest>(options); }
  Made operator()(const GptqOptions& options) const { return std::make_unique<GptqQuantizer>(options); }
  Made operator()(const LogarithmicOptions& options) const { return std::make_unique<LogarithmicQuantizer>(options); }
  Made operator()(const NormalFloatOptions& options) const { return std::make_unique<NormalFloatQuantizer>(options); }
  Made operator()(const CodebookOptions& options) const { return std::make_unique<CodebookQuantizer>(options); }
  Made operator()(const LnqOptions& options) const { return std::make_unique<LnqQuantizer>(options); }
  Made operator()(const RateCodedOptions& options) const { return std::make_unique<RateCodedQuantizer>(options); }
  Made operator()(const BandedOptions& options) const { return std::make_unique<BandedQuantizer>(options); }
};

}  // namespace

std::vector<std::string> quantizer_methods() {
  std::vector<std::string> names;
  for (const Method& method : methods) names.emplace_back(method.name);
  return names;
}

nlohmann::json setting_object(const nlohmann::json& setting, const std::string& where) {
  return setting.is_string() ? parse_method_string(setting.get_ref<const std::string&>(), where) : setting;
}

QuantizerSetting parse_quantizer_setting(const nlohmann::json& setting, const std::string& where) {
  const nlohmann::json object = setting_object(setting, where);
  ConfigReader reader(object, place_of(setting, where));
  const TransformOptions transforms = read_transforms(reader);
  const Method& method = method_of(reader);
  QuantizerSetting parsed{method.read(reader), transforms};
  reader.finish();
  const bool own_steps =
      std::holds_alternative<RateCodedOptions>(parsed.options) || std::holds_alternative<BandedOptions>(parsed.options);
  if (own_steps && (transforms.scale || transforms.rotate)) {
    throw Error({reader.where(), std::string("transforms around ") + method.name,
                 "none: its steps and widths do what they do", ""});
  }
  return parsed;
}

std::string name(const QuantizerSetting& setting) {
  if (is_plain_f16(setting)) return name(DenseOptions{});
  return name(setting.transforms) + std::visit([](const auto& options) { return name(options); }, setting.options);
}

bool is_open(const QuantizerSetting& setting) {
  return std::visit(
      [](const auto& options) {
        using Options = std::decay_t<decltype(options)>;
        if constexpr (std::is_same_v<Options, DenseOptions>) {
          return false;
        } else if constexpr (std::is_same_v<Options, RateCodedOptions>) {
          return !options.bits && !options.precision;
        } else {
          return !options.bits;
        }
      },
      setting.options);
}

QuantizerSetting with_bits(QuantizerSetting setting, int bits) {
  std::visit(
      [bits](auto& options) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(options)>, DenseOptions>) options.bits = bits;
      },
      setting.options);
  return setting;
}

bool has_bit_width(const QuantizerSetting& setting) {
  return std::visit([](const auto& options) { return has_width<std::decay_t<decltype(options)>>; }, setting.options);
}

bool uses_statistics(const QuantizerSetting& setting) {
  if (is_plain_f16(setting)) return false;
  const bool method_uses_them = std::visit(
      [](const auto& options) {
        using Options = std::decay_t<decltype(options)>;
        if constexpr (std::is_same_v<Options, NormalFloatOptions>) {
          return uses_statistics(options);
        } else {
          return !std::is_same_v<Options, DenseOptions> && !std::is_same_v<Options, RoundToNearestOptions>;
        }
      },
      setting.options);
  return setting.transforms.scale.has_value() || method_uses_them;
}

std::optional<InputScalingOptions> take_folded_scale(QuantizerSetting& setting) {
  if (!setting.transforms.scale || !setting.transforms.scale->fold) return std::nullopt;
  return std::exchange(setting.transforms.scale, std::nullopt);
}

std::unique_ptr<Quantizer> make_quantizer(const QuantizerSetting& setting) {
  if (is_plain_f16(setting)) return std::make_unique<DenseQuantizer>(DenseType::f16);
  auto quantizer = std::visit(Maker(), setting.options);
  if (!setting.transforms.scale && !setting.transforms.rotate) return quantizer;
  return std::make_unique<TransformedQuantizer>(setting.transforms, std::move(quantizer));
}

std::unique_ptr<Quantizer> make_quantizer(const nlohmann::json& setting, const std::string& where) {
  const QuantizerSetting parsed = parse_quantizer_setting(setting, where);
  if (has_bit_width(parsed) && is_open(parsed)) {
    const nlohmann::json object = setting_object(setting, where);
    ConfigReader(object, place_of(setting, where)).integer("bits", 1, 16);  // says that it is missing
  }
  return make_quantizer(parsed);
}

}  // namespace lcomp
