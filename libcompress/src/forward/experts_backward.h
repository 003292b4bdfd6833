#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "forward/experts.h"
#include "forward/linear_backward.h"
#include "forward/mlp_backward.h"
#include "lcomp/core/matrix.h"

namespace lcomp {

// The backward pass of the MLP half of a mixture of experts, y = h + sum over the chosen experts e of p_e mlp_e(n),
// n = norm(h), p = softmax of the chosen logits z = router(n):
//   d mlp_e = p_e dy,   dp_e = dy . mlp_e(n),   dz_e = p_e (dp_e - sum_k p_k dp_k) for the chosen, 0 for the others.
// Which experts are chosen is taken as given.
class ExpertsBackward {
 public:
  // states: [tokens, hidden], h of all tokens. gradient: dy, becomes dh. `norm` is the one before the
  // router. An expert is decoded when its turn comes, if any token chose it, and its gradients are handed over at once.
  // Needs one more [tokens, hidden] matrix.
  void run(const BackwardContext& context, const BlockSlices& slices, NormBackward& norm,
           std::span<const std::size_t> tokens, ConstMatrixView states, MatrixView<float> gradient);
  // Of the router.
  void hand_over(const BackwardContext& context) const;

  static void append_names(const DecoderConfig& config, const BlockSlices& slices, std::vector<std::string>& names);

 private:
  void run_expert(const BackwardContext& context, const BlockSlices& slices, const NormBackward& norm,
                  std::size_t expert, ConstMatrixView states, ConstMatrixView gradient,
                  MatrixView<float> share_gradients, MatrixView<float> normed_gradient);

  LinearBackward router_;
  MlpBackward expert_;
  std::vector<ExpertTokens> chosen_;
  AlignedBuffer<float> gathered_, gathered_gradient_, out_;
  MlpBackwardBuffers buffers_;
};

}  // namespace lcomp
