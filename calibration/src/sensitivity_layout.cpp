#include "sensitivity_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "lcomp/calibration/input_statistics.h"
#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

std::string sensitivity_item(SensitivityCost cost, const std::string& component) {
  return fmt::format("sensitivity/{}/{}", name(cost), component);
}
std::string guided_item(SensitivityCost cost, const std::string& component, std::size_t group) {
  return fmt::format("guided/{}/{}/{}", name(cost), component, group);
}

void require_size(bool right, const std::string& item) {
  if (right) return;
  throw Error({"calibration archive", fmt::format("{} has another size than listed", item), "",
               "delete the archive and calibrate again"});
}

}  // namespace

std::string sensitivity_options_item(SensitivityCost cost) { return fmt::format("sensitivity-{}-options", name(cost)); }
std::string sensitivity_layer_item(SensitivityCost cost, std::size_t layer) {
  return fmt::format("sensitivity-{}-layer-{:05}", name(cost), layer);
}
std::string embedding_item(SensitivityCost cost) { return fmt::format("sensitivity-{}-embedding", name(cost)); }

StoredSensitivity write_sensitivity(Archive& archive, SensitivityCost cost, const std::string& component,
                                    SensitivitySums& sums, std::size_t tokens) {
  const Sensitivity values = sums.sensitivity(tokens);
  StoredSensitivity stored{component, values.rows.size(), values.columns.size(), sums.groups()};
  if (const std::string item = sensitivity_item(cost, component); !archive.contains(item)) {
    Matrix all(1, values.outputs.size() + values.rows.size() + values.columns.size());
    auto out = all.span().begin();
    for (const auto* part : {&values.outputs, &values.rows, &values.columns}) out = std::ranges::copy(*part, out).out;
    if (!std::ranges::all_of(all.span(), [](float v) { return std::isfinite(v); })) {
      throw Error({component, "squared gradients beyond what 32-bit floats hold", "", ""});
    }
    archive.write(item, all.view(), {{"layout", "outputs, rows, columns"}});
  }
  for (std::size_t k = 0; k < sums.groups(); ++k) {
    const std::string item = guided_item(cost, component, k);
    if (archive.contains(item)) continue;
    const Matrix triangle = sums.hessian_triangle(k, tokens);
    require_finite_hessian(triangle.span(), std::span(&component, 1));
    archive.write(item, triangle.view(), {{"layout", "lower triangle, row by row"}});
  }
  return stored;
}

Sensitivity read_sensitivity(const Archive& archive, SensitivityCost cost, const StoredSensitivity& stored) {
  const std::string item = sensitivity_item(cost, stored.component);
  const Matrix all = archive.read(item);
  require_size(all.size() == 2 * stored.out_features + stored.in_features, item);
  const auto part = [&](std::size_t begin, std::size_t count) {
    const auto values = all.span().subspan(begin, count);
    return std::vector<float>(values.begin(), values.end());
  };
  return {part(0, stored.out_features), part(stored.out_features, stored.out_features),
          part(2 * stored.out_features, stored.in_features)};
}

Matrix read_guided_hessian(const Archive& archive, SensitivityCost cost, const StoredSensitivity& stored,
                           std::size_t group) {
  const std::string item = guided_item(cost, stored.component, group);
  const Matrix triangle = archive.read(item);
  require_size(triangle.size() == HessianAccumulator::triangle_size(stored.in_features), item);
  return symmetric_matrix(triangle.span(), stored.in_features);
}

void write_sensitivities(Archive& archive, const std::string& item, const std::vector<StoredSensitivity>& stored) {
  nlohmann::json list = nlohmann::json::array();
  for (const StoredSensitivity& s : stored) {
    list.push_back({{"component", s.component},
                    {"out_features", s.out_features},
                    {"in_features", s.in_features},
                    {"groups", s.groups}});
  }
  const std::string text = nlohmann::json({{"components", list}}).dump(1);
  archive.write_bytes(item, std::as_bytes(std::span(text)));
}

std::vector<StoredSensitivity> read_sensitivities(const Archive& archive, const std::string& item,
                                                  const std::string& where) {
  const std::vector<std::byte> bytes = archive.read_bytes(item);
  const std::string path = fmt::format("{}: {}", where, item);
  const nlohmann::json json = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
  constexpr std::int64_t most = std::int64_t{1} << 40;
  std::vector<StoredSensitivity> stored;
  ConfigReader reader(json, path);
  reader.each_object("components", [&](ConfigReader& entry) {
    StoredSensitivity s;
    s.component = entry.string("component");
    s.out_features = static_cast<std::size_t>(entry.integer("out_features", 1, most));
    s.in_features = static_cast<std::size_t>(entry.integer("in_features", 1, most));
    s.groups = static_cast<std::size_t>(entry.integer("groups", 0, most));
    stored.push_back(std::move(s));
  });
  reader.finish();
  return stored;
}

}  // namespace lcomp
