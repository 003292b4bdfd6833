#include "lcomp/forward/logit_chunks.h"

#include <algorithm>
#include <vector>

#include "lcomp/core/parallel.h"

namespace lcomp {

void for_each_logits(Decoder& decoder, ConstMatrixView states, std::size_t rows_at_once, const UseLogits& use) {
  Matrix logits(std::min(rows_at_once, states.rows()), decoder.config().vocab_size);
  for (std::size_t first = 0; first < states.rows(); first += rows_at_once) {
    const std::size_t count = std::min(rows_at_once, states.rows() - first);
    const MatrixView<float> some = logits.view().rows_range(0, count);
    decoder.logits(states.rows_range(first, count), some);
    use(first, some);
  }
}

void for_each_logits(Decoder& decoder, ConstMatrixView states, std::span<const std::size_t> rows,
                     std::size_t rows_at_once, const UseLogits& use) {
  Matrix gathered(std::min(rows_at_once, rows.size()), states.cols());
  Matrix logits(gathered.rows(), decoder.config().vocab_size);
  for (std::size_t first = 0; first < rows.size(); first += rows_at_once) {
    const std::size_t count = std::min(rows_at_once, rows.size() - first);
    for (std::size_t i = 0; i < count; ++i) std::ranges::copy(states.row(rows[first + i]), gathered.row(i).begin());
    const MatrixView<float> some = logits.view().rows_range(0, count);
    decoder.logits(gathered.view().rows_range(0, count), some);
    use(first, some);
  }
}

double cost_of_states(Decoder& decoder, ConstMatrixView states, LogitCost& cost, std::size_t rows_at_once) {
  std::vector<std::size_t> scored;
  for (std::size_t t = 0; t < states.rows(); ++t) {
    if (cost.needs(t)) scored.push_back(t);
  }
  double sum = 0;
  for_each_logits(decoder, states, scored, rows_at_once, [&](std::size_t first, MatrixView<float> logits) {
    sum += cost.add_gradient(std::span(scored).subspan(first, logits.rows()), logits);
  });
  return sum;
}

TopTokens top_tokens(Decoder& decoder, ConstMatrixView states, std::span<const std::size_t> tokens, std::size_t count,
                     std::size_t rows_at_once) {
  TopTokens top;
  std::vector<TopTokens> of_rows(std::min(rows_at_once, tokens.size()));
  for_each_logits(decoder, states, tokens, rows_at_once, [&](std::size_t first, ConstMatrixView logits) {
    parallel_for(0, logits.rows(), [&](std::size_t i) {
      of_rows[i] = {};
      of_rows[i].add(logits.row(i), count);
    });
    for (std::size_t i = 0; i < logits.rows(); ++i) {
      const TopTokens& row = of_rows[i];
      while (top.tokens() < tokens[first + i]) top.add_none();
      top.ids.insert(top.ids.end(), row.ids.begin(), row.ids.end());
      top.log_probabilities.insert(top.log_probabilities.end(), row.log_probabilities.begin(),
                                   row.log_probabilities.end());
      top.offsets.push_back(top.ids.size());
    }
  });
  while (top.tokens() < states.rows()) top.add_none();
  return top;
}

}  // namespace lcomp
