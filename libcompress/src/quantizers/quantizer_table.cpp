#include "lcomp/quantizers/quantizer_table.h"

#include <charconv>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/dense_quantizer.h"
#include "lcomp/quantizers/gptq.h"
#include "lcomp/quantizers/round_to_nearest.h"

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

// The keys that methods with uniform grids share: bits, symmetric, group_size, grid, scales.
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
  options.grid = reader.one_of_or("grid", "minmax", {"minmax", "mse"}) == "mse" ? GridFit::mse : GridFit::minmax;
  const std::string scales = reader.one_of_or("scales", "f16", {"f16", "u8", "f32"});
  options.scale_storage = scales == "f16" ? ScaleStorage::f16 : scales == "u8" ? ScaleStorage::u8 : ScaleStorage::f32;
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

// The number of a word such as "b4", "g64", "block64"; 0 when it is none, which no option takes.
std::int64_t number_after(std::string_view prefix, std::string_view word) {
  std::int64_t value = 0;
  if (!word.starts_with(prefix) || word.size() == prefix.size()) return 0;
  const char* end = word.data() + word.size();
  return std::from_chars(word.data() + prefix.size(), end, value).ptr == end ? value : 0;
}

// What a name may say after the grain, in this order. Each takes the word and returns true when it is its own.
bool is_grid(std::string_view word, nlohmann::json& setting) {
  if (word != "mse") return false;
  setting["grid"] = word;
  return true;
}

bool is_scale_storage(std::string_view word, nlohmann::json& setting) {
  if (word != "u8" && word != "f32" && word != "f16") return false;
  setting["scales"] = word;
  return true;
}

bool is_act_order(std::string_view word, nlohmann::json& setting) {
  if (word != "act") return false;
  return setting["act_order"] = true;
}

bool is_static_groups(std::string_view word, nlohmann::json& setting) {
  if (word != "static") return false;
  return setting["static_groups"] = true;
}

bool is_damping(std::string_view word, nlohmann::json& setting) {
  double damping = 0;
  const char* end = word.data() + word.size();
  if (word.size() < 2 || word[0] != 'd') return false;
  if (std::from_chars(word.data() + 1, end, damping, std::chars_format::fixed).ptr != end) return false;
  setting["damping"] = damping;
  return true;
}

bool is_block_size(std::string_view word, nlohmann::json& setting) {
  const std::int64_t size = number_after("block", word);
  if (size == 0) return false;
  setting["block_size"] = size;
  return true;
}

// The setting that a short name stands for; null when it can't be read.
nlohmann::json setting_of_name(std::string_view name) {
  if (name == "f16" || name == "bf16" || name == "f32") return {{"method", "dense"}, {"type", name}};
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('-', begin), name.size());
    words.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  if (words.size() < 4 || (words[0] != "rtn" && words[0] != "gptq")) return nullptr;
  if (words[1] != "sym" && words[1] != "asym") return nullptr;
  nlohmann::json setting = {{"method", words[0]}};
  setting["symmetric"] = words[1] == "sym";
  setting["bits"] = number_after("b", words[2]);
  if (words[3] == "channel" || words[3] == "tensor") {
    setting["group_size"] = words[3];
  } else {
    setting["group_size"] = number_after("g", words[3]);
  }
  std::size_t next = 4;
  for (const auto take : {is_grid, is_scale_storage, is_act_order, is_static_groups, is_damping, is_block_size}) {
    if (next < words.size() && take(words[next], setting)) ++next;
  }
  return next == words.size() ? setting : nlohmann::json(nullptr);  // a method refuses what is not its own
}

}  // namespace

std::vector<std::string> quantizer_methods() {
  std::vector<std::string> names;
  for (const Method& method : methods) names.emplace_back(method.name);
  return names;
}

std::unique_ptr<Quantizer> make_quantizer(const nlohmann::json& setting, const std::string& where) {
  if (setting.is_string()) {
    try {
      return make_quantizer_from_name(setting.get<std::string>());
    } catch (const Error& error) {
      ErrorParts parts = error.parts();
      parts.where = where;
      throw Error(std::move(parts));
    }
  }
  ConfigReader reader(setting, where);
  auto quantizer = method_of(reader).make(reader);
  reader.finish();
  return quantizer;
}

std::unique_ptr<Quantizer> make_quantizer_from_name(std::string_view name) {
  const nlohmann::json setting = setting_of_name(name);
  const auto refuse = [name](const std::string& why) {
    throw Error({"quantizer", fmt::format("\"{}\"{}", name, why),
                 "a name such as rtn-asym-b4-g64, rtn-sym-b3-channel-mse-u8, gptq-asym-b4-g128-act, f16, bf16, f32",
                 ""});
  };
  if (setting.is_null()) refuse("");
  try {
    return make_quantizer(setting, std::string(name));
  } catch (const Error& error) {
    refuse(fmt::format(" ({})", error.parts().where + ": " + error.parts().found));
    return nullptr;
  }
}

bool has_bits(const nlohmann::json& setting, const std::string& where) {
  if (setting.is_string()) return false;  // a name is complete
  ConfigReader reader(setting, where);
  const bool answer = method_of(reader).has_bits;
  for (const std::string& key : reader.unread_keys()) reader.ignore(key);
  reader.finish();
  return answer;
}

}  // namespace lcomp
