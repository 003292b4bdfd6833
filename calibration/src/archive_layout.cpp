#include "archive_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

std::string hessian_item(const std::string& component) { return "hessian/" + component; }
std::string histogram_item(const std::string& component) { return "histogram/" + component; }
std::string ranges_item(const std::string& component) { return "ranges/" + component; }

}  // namespace

std::string layer_item(std::size_t layer) { return fmt::format("layer-{:05}", layer); }

StoredInput write_input(Archive& archive, const InputGroup& group, InputAccumulator& sums) {
  const std::string& name = group.components.front();
  if (!archive.contains(hessian_item(name))) {
    Matrix triangle(HessianAccumulator::triangle_size(sums.in_features()), 1);
    sums.hessian().lower_triangle(triangle.span());
    require_finite_hessian(triangle.span(), group.components);
    archive.write(hessian_item(name), triangle.view(), {{"layout", "lower triangle, row by row"}});
  }
  if (!archive.contains(ranges_item(name))) {
    Matrix ranges(2, sums.in_features());
    std::ranges::copy(sums.mean(), ranges.row(0).begin());
    std::ranges::copy(sums.absolute_maximum(), ranges.row(1).begin());
    archive.write(ranges_item(name), ranges.view(), {{"rows", "mean, absolute maximum"}});
  }
  if (!archive.contains(histogram_item(name))) {
    archive.write(histogram_item(name), sums.histogram().to_numbers(),
                  {{"layout", "minimum, maximum, bin, count, ..."}});
  }
  return {group.components, sums.in_features(), sums.tokens()};
}

InputStatistics read_input(const Archive& archive, const StoredInput& input) {
  const std::string& name = input.components.front();
  const Matrix triangle = archive.read(hessian_item(name)), ranges = archive.read(ranges_item(name));
  if (triangle.size() != HessianAccumulator::triangle_size(input.in_features) || ranges.rows() != 2 ||
      ranges.cols() != input.in_features) {
    throw Error({"calibration archive", fmt::format("statistics of {} have another size than listed", name),
                 fmt::format("{} input features", input.in_features), "delete the archive and calibrate again"});
  }
  InputStatistics statistics;
  statistics.components = input.components;
  statistics.tokens = input.tokens;
  statistics.hessian = symmetric_matrix(triangle.span(), input.in_features);
  statistics.mean.assign(ranges.row(0).begin(), ranges.row(0).end());
  statistics.absolute_maximum.assign(ranges.row(1).begin(), ranges.row(1).end());
  if (archive.contains(histogram_item(name))) {
    statistics.histogram =
        InputHistogram::from_numbers(archive.read_doubles(histogram_item(name)), histogram_item(name));
  }
  return statistics;
}

void write_inputs(Archive& archive, const std::string& item, const std::vector<StoredInput>& inputs) {
  nlohmann::json list = nlohmann::json::array();
  for (const StoredInput& input : inputs) {
    list.push_back({{"components", input.components}, {"in_features", input.in_features}, {"tokens", input.tokens}});
  }
  const std::string text = nlohmann::json({{"inputs", list}}).dump(1);
  archive.write_bytes(item, std::as_bytes(std::span(text)));
}

std::vector<StoredInput> read_inputs(const Archive& archive, const std::string& item, const std::string& where) {
  const std::vector<std::byte> bytes = archive.read_bytes(item);
  const std::string path = fmt::format("{}: {}", where, item);
  const nlohmann::json json = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
  constexpr std::int64_t most = std::int64_t{1} << 40;
  std::vector<StoredInput> inputs;
  ConfigReader reader(json, path);
  reader.each_object("inputs", [&](ConfigReader& entry) {
    StoredInput input;
    input.components = entry.strings("components");
    input.in_features = static_cast<std::size_t>(entry.integer("in_features", 1, most));
    input.tokens = static_cast<std::uint64_t>(entry.integer("tokens", 0, most));
    if (input.components.empty()) throw Error({path, "an input of no linear", "", "calibrate again"});
    inputs.push_back(std::move(input));
  });
  reader.finish();
  return inputs;
}

std::optional<CalibrationKey> read_key(const std::filesystem::path& folder) {
  const std::filesystem::path description = folder / "archive.json";
  if (!std::filesystem::exists(description)) return std::nullopt;
  const nlohmann::json json = parse_json_file(description);
  ConfigReader reader(json, description.string());
  const std::string text = reader.string("key");
  if (auto key = CalibrationKey::parse(text)) return key;
  throw Error({folder.string(), "an archive of something else", "calibration statistics", "choose another folder"});
}

}  // namespace lcomp
