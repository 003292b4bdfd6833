#include "lcomp/compression/compression_checkpoint.h"

#include <fmt/format.h>

#include <map>
#include <span>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/formats/format.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

constexpr const char* description_attribute = "component";

std::string input_scales_item(const std::string& component) { return "input_scales/" + component; }

nlohmann::json describe(const FinishedComponent& finished) {
  const WeightLayout shape = layout(finished.weight);
  nlohmann::json json = {{"rows", rows(shape)},
                         {"cols", cols(shape)},
                         {"layout", layout_to_json(shape)},
                         {"relative_error", finished.relative_error},
                         {"warnings", finished.warnings}};
  if (finished.input) json["input"] = {{"scale", finished.input->scale}, {"zero_point", finished.input->zero_point}};
  if (finished.first_attempt) json["first_attempt"] = *finished.first_attempt;
  return json;
}

}  // namespace

void CompressionCheckpoint::store(const std::string& component, const FinishedComponent& finished) {
  std::vector<std::byte> bytes;
  for (const WeightPart& part : to_parts(view(finished.weight))) {
    const auto data = std::as_bytes(part.data);
    bytes.insert(bytes.end(), data.begin(), data.end());
  }
  archive_.write_bytes(component, bytes, {{description_attribute, describe(finished).dump()}});
}

bool CompressionCheckpoint::contains_input_scales(const std::string& component) const {
  return archive_.contains(input_scales_item(component));
}

std::vector<float> CompressionCheckpoint::load_input_scales(const std::string& component, std::size_t factors) const {
  const Matrix stored = archive_.read(input_scales_item(component));
  if (stored.rows() != 1 || stored.cols() != factors) {
    throw Error({component,
                 fmt::format("unfinished work with {} x {} scales of its input", stored.rows(), stored.cols()),
                 fmt::format("{}", factors), "delete the folder of unfinished work"});
  }
  return {stored.span().begin(), stored.span().end()};
}

void CompressionCheckpoint::store_input_scales(const std::string& component, std::span<const float> scales) {
  archive_.write(input_scales_item(component), ConstMatrixView(scales.data(), 1, scales.size()));
}

FinishedComponent CompressionCheckpoint::load(const std::string& component) const {
  const std::vector<std::byte> bytes = archive_.read_bytes(component);
  const std::map<std::string, std::string> attributes = archive_.attributes(component);
  const auto json = nlohmann::json::parse(attributes.at(description_attribute));
  const WeightLayout shape = layout_from_json(json.at("layout"), json.at("rows").get<std::size_t>(),
                                              json.at("cols").get<std::size_t>(), component);
  std::vector<WeightPart> parts;
  std::size_t offset = 0;
  for (const PartDeclaration& declared : declared_parts(shape, component)) {
    if (declared.bytes > bytes.size() - offset) {
      throw Error({component, fmt::format("{} bytes of unfinished work", bytes.size()),
                   fmt::format("at least {}", offset + declared.bytes), "delete the folder of unfinished work"});
    }
    parts.push_back({declared, {reinterpret_cast<const std::uint8_t*>(bytes.data()) + offset, declared.bytes}});
    offset += declared.bytes;
  }
  FinishedComponent finished;
  finished.weight = copy(from_parts(shape, parts, component));
  finished.relative_error = json.at("relative_error").get<double>();
  finished.warnings = json.at("warnings").get<std::vector<std::string>>();
  if (json.contains("input")) {
    InputGrid grid;
    grid.scale = json.at("input").at("scale").get<float>();
    grid.zero_point = json.at("input").at("zero_point").get<decltype(grid.zero_point)>();
    finished.input = grid;
  }
  if (json.contains("first_attempt")) finished.first_attempt = json.at("first_attempt").get<std::uint64_t>();
  return finished;
}

}  // namespace lcomp
