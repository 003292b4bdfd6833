#include "quantizers/tables/codebook_quantizer.h"

#include "lcomp/formats/codebook.h"
#include "lcomp/formats/format.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"
#include "quantizers/method_string.h"
#include "quantizers/tables/codebook_groups.h"
#include "quantizers/tables/level_rounding.h"

namespace lcomp {
namespace {

CompressedWeight round_weight(ConstMatrixView weight, const LayerKnowledge& knowledge, const CodebookOptions& options,
                              const std::string& component) {
  CodebookWeight out = make_codebook(layout_of(options, weight.rows(), weight.cols()), component);
  CodebookGroups groups(options.fit, out, component);
  const auto stored =
      round_to_levels(weight, knowledge, options.feedback, options.bits, options.granularity, groups, component);
  if (out.permuted) set_permutation(out, stored);
  return out;
}

}  // namespace

CodebookLayout layout_of(const CodebookOptions& options, std::size_t rows, std::size_t cols) {
  CodebookLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = options.bits;
  layout.group_size = columns_per_group(options.granularity, cols);
  layout.permuted = permutes_columns(options.feedback, options.granularity, cols);
  return layout;
}

CodebookQuantizer::CodebookQuantizer(const CodebookOptions& options) : options_(options) {
  check_levels(options.bits, options.granularity, "codebook");
  check_feedback(options.feedback, "codebook");
}

CompressedWeight CodebookQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                             const std::string& component) const {
  return round_weight(weight,
                      learn_from_statistics(weight, stats, options_.feedback, "codebook with feedback", component),
                      options_, component);
}

CompressedWeight CodebookQuantizer::quantize_without_statistics(ConstMatrixView weight,
                                                                const std::string& component) const {
  require_finite(weight, component);
  return round_weight(weight, {}, options_, component);
}

std::optional<std::uint64_t> CodebookQuantizer::predicted_bytes(std::size_t rows, std::size_t cols) const {
  return payload_bytes(layout_of(options_, rows, cols));
}

std::string CodebookQuantizer::name() const {
  MethodString text("codebook");
  text.add("bits", std::int64_t{options_.bits}).add("group", lcomp::name(options_.granularity));
  if (options_.fit != KmeansFit::dynamic) text.add("fit", options_.fit == KmeansFit::exact ? "exact" : "lloyd");
  return text.add_feedback(options_.feedback).text();
}

}  // namespace lcomp
