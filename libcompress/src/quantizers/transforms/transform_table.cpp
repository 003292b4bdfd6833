#include "quantizers/transforms/transform_table.h"

#include <limits>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr std::int64_t any_size = std::numeric_limits<std::int32_t>::max();

InputScalingOptions read_scale(ConfigReader& reader) {
  InputScalingOptions options;
  options.fold = reader.boolean_or("fold", options.fold);
  if (reader.has("alpha")) options.alpha = reader.real("alpha", 0, 1);
  options.steps = static_cast<int>(reader.integer_or("steps", options.steps, 1, 1000));
  return options;
}

RotationOptions read_rotate(ConfigReader& reader) {
  RotationOptions options;
  options.block = static_cast<std::size_t>(reader.integer_or("block", 0, 1, any_size));
  options.outputs = reader.boolean_or("outputs", options.outputs);
  options.output_block = static_cast<std::size_t>(
      reader.integer_or("output_block", static_cast<std::int64_t>(options.output_block), 1, any_size));
  options.paley = reader.boolean_or("paley", options.paley);
  options.seed = static_cast<std::uint64_t>(
      reader.integer_or("seed", static_cast<std::int64_t>(options.seed), 0, std::numeric_limits<std::int64_t>::max()));
  return options;
}

void require_first(bool is_first, const ConfigReader& reader, const char* name) {
  if (is_first) return;
  throw Error({reader.where("transform"), std::string("\"") + name + "\" after another transform",
               "scale before rotate, each at most once", ""});
}

}  // namespace

TransformOptions read_transforms(ConfigReader& setting) {
  TransformOptions options;
  if (!setting.has("transforms")) return options;
  setting.each_object("transforms", [&options](ConfigReader& reader) {
    if (reader.one_of("transform", {"scale", "rotate"}) == "scale") {
      require_first(!options.scale && !options.rotate, reader, "scale");
      options.scale = read_scale(reader);
    } else {
      require_first(!options.rotate, reader, "rotate");
      options.rotate = read_rotate(reader);
    }
  });
  return options;
}

}  // namespace lcomp
