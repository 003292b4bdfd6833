#pragma once

#include <string>

#include "lcomp/formats/compressed_weight.h"
#include "quantizers/tables/codebook_quantizer.h"
#include "quantizers/tables/level_groups.h"

namespace lcomp {

// Groups with a codebook each, found by k-means.
class CodebookGroups : public LevelGroups {
 public:
  CodebookGroups(KmeansFit fit, CodebookWeight& out, const std::string& component)
      : fit_(fit), out_(out), component_(component) {}

  void begin_row(std::size_t, std::span<const float>, std::span<const float>) override {}
  // Throws Error naming the component and row where a level overflows f16.
  void fit(std::size_t row, std::size_t group, std::span<const float> weights, std::span<const float> column_weights,
           std::span<float> levels) override;
  void finish_row(std::size_t row, std::span<const std::uint8_t> ranks) override;

 private:
  const KmeansFit fit_;
  CodebookWeight& out_;
  const std::string& component_;
};

}  // namespace lcomp
