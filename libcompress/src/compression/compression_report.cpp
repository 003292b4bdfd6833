#include "lcomp/compression/compression_report.h"

#include <array>
#include <utility>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

ComponentKind kind_from_name(const std::string& text, const std::string& where) {
  for (const ComponentKind kind :
       std::array{ComponentKind::embedding, ComponentKind::linear, ComponentKind::router, ComponentKind::head}) {
    if (text == name(kind)) return kind;
  }
  throw Error({where, "a component of kind " + text, "embedding, linear, router or head", ""});
}

}  // namespace

void CompressionReport::set_size(const ModelSize& size) {
  parameters = size.parameters;
  bytes = size.bytes;
  bits_per_weight = size.bits_per_weight();
  ratio = size.ratio();
}

nlohmann::json to_json(const CompressionReport& report) {
  nlohmann::json components = nlohmann::json::array();
  for (const ComponentReport& line : report.components) {
    components.push_back({{"name", line.name},
                          {"kind", name(line.kind)},
                          {"quantizer", line.quantizer},
                          {"format", line.format},
                          {"parameters", line.parameters},
                          {"bytes", line.bytes},
                          {"bits_per_weight", line.bits_per_weight},
                          {"relative_error", line.relative_error}});
    if (!line.warnings.empty()) components.back()["warnings"] = line.warnings;
  }
  return {{"parameters", report.parameters},
          {"bytes", report.bytes},
          {"bits_per_weight", report.bits_per_weight},
          {"ratio", report.ratio},
          {"kept_parameters", report.kept_parameters},
          {"kept_bytes", report.kept_bytes},
          {"activation_bytes", report.activation_bytes},
          {"components", std::move(components)}};
}

CompressionReport compression_report_from_json(const nlohmann::json& json, const std::string& where) {
  try {
    CompressionReport report;
    report.set_size({json.at("parameters").get<std::uint64_t>(), json.at("bytes").get<std::uint64_t>()});
    report.kept_parameters = json.at("kept_parameters").get<std::uint64_t>();
    report.kept_bytes = json.at("kept_bytes").get<std::uint64_t>();
    report.activation_bytes = json.at("activation_bytes").get<std::uint64_t>();
    for (const nlohmann::json& entry : json.at("components")) {
      ComponentReport line;
      line.name = entry.at("name").get<std::string>();
      line.kind = kind_from_name(entry.at("kind").get<std::string>(), where);
      line.quantizer = entry.at("quantizer").get<std::string>();
      line.format = entry.at("format").get<std::string>();
      line.parameters = entry.at("parameters").get<std::uint64_t>();
      line.bytes = entry.at("bytes").get<std::uint64_t>();
      line.bits_per_weight = entry.at("bits_per_weight").get<double>();
      line.relative_error = entry.at("relative_error").get<double>();
      line.warnings = entry.value("warnings", std::vector<std::string>());
      report.components.push_back(std::move(line));
    }
    return report;
  } catch (const nlohmann::json::exception& failure) {
    throw Error({where, failure.what(), "the report of a compression", ""});
  }
}

}  // namespace lcomp
