#include "quantizers/tables/codebook_quantizer.h"

#include "lcomp/formats/codebook.h"
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
      round_to_levels(weight, knowledge, options.feedback, *options.bits, options.granularity, groups, component);
  if (out.permuted) set_permutation(out, stored);
  return out;
}

}  // namespace

CodebookLayout layout_of(const CodebookOptions& options, std::size_t rows, std::size_t cols) {
  CodebookLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = options.bits.value();
  layout.group_size = columns_per_group(options.granularity, cols);
  layout.permuted = permutes_columns(options.feedback, options.granularity, cols);
  return layout;
}

CodebookQuantizer::CodebookQuantizer(const CodebookOptions& options) : options_(options) {
  check_levels(required_bits(options.bits, "codebook"), options.granularity, "codebook");
  check_feedback(options.feedback, "codebook");
}

QuantizedWeight CodebookQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                            const std::string& component) const {
  LayerKnowledge knowledge =
      learn_from_statistics(weight, stats, options_.feedback, "codebook with feedback", component);
  return {round_weight(weight, knowledge, options_, component), std::move(knowledge.warnings)};
}

QuantizedWeight CodebookQuantizer::quantize_without_statistics(ConstMatrixView weight,
                                                               const std::string& component) const {
  require_finite(weight, component);
  return round_weight(weight, {}, options_, component);
}

std::optional<WeightLayout> CodebookQuantizer::layout(std::size_t rows, std::size_t cols) const {
  return layout_of(options_, rows, cols);
}

std::string CodebookQuantizer::name() const { return lcomp::name(options_); }

std::string name(const CodebookOptions& options) {
  MethodString text("codebook");
  text.add_bits(options.bits).add("group", name(options.granularity));
  if (options.fit != KmeansFit::dynamic) text.add("fit", options.fit == KmeansFit::exact ? "exact" : "lloyd");
  return text.add_feedback(options.feedback).text();
}

}  // namespace lcomp
