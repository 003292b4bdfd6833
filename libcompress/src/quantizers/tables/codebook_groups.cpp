#include "quantizers/tables/codebook_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/codebook.h"
#include "quantizers/tables/sorted_weights.h"
#include "quantizers/tables/weighted_kmeans.h"

namespace lcomp {
namespace {

std::vector<double> find_levels(KmeansFit fit, const SortedWeights& weights, std::size_t levels, Rng& rng) {
  switch (fit) {
    case KmeansFit::dynamic:
      return exact_kmeans(weights, levels, std::max<std::size_t>(256, 2 * levels));
    case KmeansFit::exact:
      return exact_kmeans(weights, levels);
    case KmeansFit::lloyd:
      return lloyd_kmeans(weights, levels, rng);
  }
  return {};
}

}  // namespace

void CodebookGroups::fit(std::size_t row, std::size_t group, std::span<const float> weights,
                         std::span<const float> column_weights, std::span<float> levels) {
  const SortedWeights sorted(weights, column_weights);
  const std::size_t index = row * groups_per_row(out_) + group;
  Rng rng = Rng(0).split(std::uint64_t{index});
  const std::vector<double> found = find_levels(fit_, sorted, levels.size(), rng);
  for (std::size_t k = 0; k < levels.size(); ++k) {
    levels[k] = half_to_float(float_to_half(static_cast<float>(found[k])));
    if (std::isfinite(levels[k])) continue;
    throw Error({fmt::format("{}, row {}", component_, row),
                 fmt::format("a level of {}, which overflows f16", found[k]), "", "use a method with scales in f32"});
  }
  set_levels(out_, index, levels);
}

void CodebookGroups::finish_row(std::size_t row, std::span<const std::uint8_t> ranks) { pack_row(out_, row, ranks); }

}  // namespace lcomp
