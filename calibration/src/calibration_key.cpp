#include "lcomp/calibration/calibration_key.h"

#include <fmt/format.h>

#include <array>
#include <span>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"

namespace lcomp {
namespace {

constexpr std::array<std::string_view, 3> labels = {"model ", "; texts ", "; options "};

}  // namespace

std::string CalibrationKey::text() const {
  return fmt::format("{}{}{}{}{}{}", labels[0], model, labels[1], texts, labels[2], options);
}

std::optional<CalibrationKey> CalibrationKey::parse(std::string_view text) {
  const std::size_t texts = text.find(labels[1]), options = text.find(labels[2]);
  if (!text.starts_with(labels[0]) || texts == text.npos || options == text.npos || options < texts)
    return std::nullopt;
  CalibrationKey key;
  key.model = text.substr(labels[0].size(), texts - labels[0].size());
  key.texts = text.substr(texts + labels[1].size(), options - texts - labels[1].size());
  key.options = text.substr(options + labels[2].size());
  return key;
}

std::string hash_tokens(const TokenBatch& batch) {
  Hasher hasher;
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    hasher.update(fmt::format("{}", batch.sequence(s).size()));
    hasher.update(std::as_bytes(batch.sequence(s)));
  }
  return hasher.hex();
}

void require_same(const CalibrationKey& found, const CalibrationKey& expected, const std::string& where) {
  const std::array<std::pair<std::string_view, bool>, 3> parts = {{{"model", found.model == expected.model},
                                                                   {"texts", found.texts == expected.texts},
                                                                   {"options", found.options == expected.options}}};
  std::string differing;
  for (const auto& [part, same] : parts) {
    if (!same) differing += fmt::format("{}{}", differing.empty() ? "" : " and ", part);
  }
  if (differing.empty()) return;
  const bool options_only = differing == "options";
  throw Error({where,
               options_only ? fmt::format("statistics of other options ({})", found.options)
                            : fmt::format("statistics of other {}", differing),
               options_only ? expected.options : fmt::format("{}", expected.text()),
               "delete the folder, or choose another"});
}

}  // namespace lcomp
