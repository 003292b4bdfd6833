#include "quantizers/tables/lnq.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"
#include "quantizers/feedback/layer_knowledge.h"
#include "quantizers/method_string.h"
#include "quantizers/tables/alternating_levels.h"
#include "quantizers/tables/codebook_groups.h"
#include "quantizers/tables/level_rounding.h"

namespace lcomp {
namespace {

constexpr Granularity one_codebook_a_row{Granularity::Kind::channel, 0};

CodebookOptions start_of(const LnqOptions& options) {
  CodebookOptions start;
  start.bits = options.bits;
  start.granularity = one_codebook_a_row;
  start.feedback.enabled = true;
  start.feedback.act_order = options.act_order;
  start.feedback.damping = options.damping;
  return start;
}

CodebookWeight round_start(ConstMatrixView weight, const LayerKnowledge& knowledge, const CodebookOptions& start,
                           const std::string& component) {
  CodebookWeight out = make_codebook(layout_of(start, weight.rows(), weight.cols()), component);
  CodebookGroups groups(start.fit, out, component);
  round_to_levels(weight, knowledge, start.feedback, *start.bits, start.granularity, groups, component);
  return out;
}

// H with the damping of the factor, columns in their own order.
Matrix damped(ConstMatrixView hessian, const HessianFactor& factor) {
  Matrix out(hessian.rows(), hessian.cols());
  double sum = static_cast<double>(factor.dead.size());  // dead columns count as 1, as they do in the factor
  for (std::size_t j = 0; j < hessian.rows(); ++j) sum += static_cast<double>(hessian(j, j));
  const auto added = static_cast<float>(factor.damping * sum / static_cast<double>(hessian.rows()));
  parallel_chunks(0, out.rows(), 64, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      for (std::size_t j = 0; j < out.cols(); ++j) out(i, j) = i < j ? hessian(i, j) : hessian(j, i);
      out(i, i) += added;
    }
  });
  for (const std::uint32_t column : factor.dead) out(column, column) = 1;
  return out;
}

LevelRows unpacked(const CodebookWeight& weight) {
  LevelRows rows;
  rows.cols = weight.cols;
  rows.levels = Matrix(weight.rows, levels_per_codebook(weight));
  rows.ranks.resize(weight.rows * weight.cols);
  for (std::size_t i = 0; i < weight.rows; ++i) {
    decode_levels(view(weight), i, rows.levels.row(i));
    unpack_row(view(weight), i, std::span(rows.ranks).subspan(i * weight.cols, weight.cols));
  }
  return rows;
}

void pack(const LevelRows& rows, CodebookWeight& weight) {
  for (std::size_t i = 0; i < weight.rows; ++i) {
    set_levels(weight, i, rows.levels.row(i));
    pack_row(weight, i, std::span(rows.ranks).subspan(i * weight.cols, weight.cols));
  }
}

}  // namespace

LnqQuantizer::LnqQuantizer(const LnqOptions& options) : options_(options) {
  const CodebookOptions start = start_of(options);
  check_levels(required_bits(start.bits, "lnq"), start.granularity, "lnq");
  check_feedback(start.feedback, "lnq");
}

QuantizedWeight LnqQuantizer::quantize(ConstMatrixView weight, const LayerStats& stats,
                                       const std::string& component) const {
  const CodebookOptions start = start_of(options_);
  const LayerKnowledge knowledge = learn_from_statistics(weight, stats, start.feedback, "lnq", component);
  CodebookWeight out = round_start(weight, knowledge, start, component);
  if (!knowledge.factor) return {std::move(out), knowledge.warnings};
  const Matrix hessian = damped(stats.hessian, *knowledge.factor);
  LevelRows rows = unpacked(out);
  for (std::size_t turn = 0; turn < options_.alternations; ++turn) {
    improve_codes(weight, hessian.view(), options_.cycles, rows);
    improve_levels(weight, hessian.view(), rows);
  }
  pack(rows, out);
  return {std::move(out), knowledge.warnings};
}

QuantizedWeight LnqQuantizer::quantize_without_statistics(ConstMatrixView weight, const std::string& component) const {
  require_finite(weight, component);
  return round_start(weight, {}, start_of(options_), component);
}

std::optional<WeightLayout> LnqQuantizer::layout(std::size_t rows, std::size_t cols) const {
  return layout_of(start_of(options_), rows, cols);
}

std::string LnqQuantizer::name() const { return lcomp::name(options_); }

std::string name(const LnqOptions& options) {
  const LnqOptions defaults;
  MethodString text("lnq");
  text.add_bits(options.bits);
  if (options.alternations != defaults.alternations) {
    text.add("alternations", static_cast<std::int64_t>(options.alternations));
  }
  if (options.cycles != defaults.cycles) text.add("cycles", static_cast<std::int64_t>(options.cycles));
  if (options.act_order != defaults.act_order) text.add("act_order", options.act_order ? "true" : "false");
  return text.add_damping(options).text();
}

}  // namespace lcomp
