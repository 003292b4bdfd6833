#include "lcomp/quantizers/quantizer_table.h"

#include <charconv>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/dense_quantizer.h"
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

std::unique_ptr<Quantizer> make_rtn(ConfigReader& reader) {
  RoundToNearestOptions options;
  const std::int64_t bits = reader.integer("bits", 1, 16);
  if (bits > 8 && bits != 16) {
    throw Error({reader.where("bits"), std::to_string(bits), "1 to 8, or 16 for plain f16", ""});
  }
  options.symmetric = reader.boolean_or("symmetric", options.symmetric);
  options.grain = read_grain(reader);
  options.grid = reader.one_of_or("grid", "minmax", {"minmax", "mse"}) == "mse" ? GridFit::mse : GridFit::minmax;
  const std::string scales = reader.one_of_or("scales", "f16", {"f16", "u8", "f32"});
  options.scale_storage = scales == "f16" ? ScaleStorage::f16 : scales == "u8" ? ScaleStorage::u8 : ScaleStorage::f32;
  if (bits == 16) return std::make_unique<DenseQuantizer>(DenseType::f16);
  options.bits = static_cast<int>(bits);
  return std::make_unique<RoundToNearest>(options);
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
};

const Method& method_of(ConfigReader& reader) {
  const std::string chosen = reader.one_of("method", quantizer_methods());
  for (const Method& method : methods) {
    if (chosen == method.name) return method;
  }
  return methods[0];
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
  if (words.size() < 4 || words[0] != "rtn") return nullptr;
  nlohmann::json setting = {{"method", "rtn"}};
  const auto number = [](std::string_view word, char letter) {
    std::int64_t value = 0;
    const bool lettered = word.size() > 1 && word[0] == letter;
    if (lettered &&
        std::from_chars(word.data() + 1, word.data() + word.size(), value).ptr == word.data() + word.size()) {
      return value;
    }
    return std::int64_t{0};
  };
  if (words[1] != "sym" && words[1] != "asym") return nullptr;
  setting["symmetric"] = words[1] == "sym";
  setting["bits"] = number(words[2], 'b');
  if (words[3] == "channel" || words[3] == "tensor") {
    setting["group_size"] = words[3];
  } else {
    setting["group_size"] = number(words[3], 'g');
  }
  std::size_t next = 4;
  if (next < words.size() && words[next] == "mse") setting["grid"] = words[next++];
  if (next < words.size()) setting["scales"] = words[next++];
  return next == words.size() ? setting : nlohmann::json(nullptr);
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
                 "a name such as rtn-asym-b4-g64, rtn-sym-b3-channel-mse-u8, f16, bf16, f32", ""});
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
