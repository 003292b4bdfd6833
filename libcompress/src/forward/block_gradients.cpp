#include "lcomp/forward/block_gradients.h"

#include <cassert>

#include "forward/gradient_pass.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

// The pass asks which tokens have a cost; no logits are computed.
class EveryToken : public LogitCost {
 public:
  bool needs(std::size_t /*token*/) const override { return true; }
  double add_gradient(std::span<const std::size_t> /*tokens*/, MatrixView<float> /*logits*/) override { return 0; }
};

void require_dense(const Decoder& decoder) {
  if (decoder.config().num_experts == 0) return;
  throw Error({decoder.model().path.string(), "gradients of one block of a mixture of experts", "a dense model", ""});
}

}  // namespace

double block_gradients(Decoder& decoder, std::size_t layer, const TokenBatch& batch, ConstMatrixView input,
                       ConstMatrixView target, GradientVisitor& visitor, const GradientOptions& options) {
  assert(layer < decoder.config().num_layers() && input.contiguous());
  assert(input.rows() == batch.tokens() && target.rows() == batch.tokens());
  require_dense(decoder);
  EveryToken cost;
  return GradientPass(decoder, batch, cost, visitor, options).run_block(layer, input, target);
}

void run_block_as_trained(Decoder& decoder, std::size_t layer, const TokenBatch& batch, MatrixView<float> states,
                          const GradientOptions& options) {
  assert(layer < decoder.config().num_layers() && states.contiguous() && states.rows() == batch.tokens());
  require_dense(decoder);
  EveryToken cost;
  GradientVisitor visitor;
  GradientPass(decoder, batch, cost, visitor, options).run_block(layer, states);
}

}  // namespace lcomp
