#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lcomp/models/model_folder.h"

namespace lcomp {

// An input of linear layers whose channels can be multiplied by any factors c > 0 without a trace, since what makes the
// input is linear in them: c goes into its last step, 1 / c into the columns of all that read it, and the model's
// function stays the same.
//   a norm:             the gain and the bias of channel j times c_j (with gain + 1: 1 + gain' = (1 + gain) c_j)
//   value to output:    row k of v, and its bias, times c_k; attention mixes tokens, never channels. With grouped heads
//                       the query heads that share a key-value head share its factors
//   up to down:         row k of up, and its bias, times c_k, in a gated MLP: act(gate) is not scaled
struct ScalableInput {
  std::vector<LinearSlices> readers;     // all that read it, routers included
  NormSlices norm;                       // what makes it: a norm, or
  LinearSlices source;                   // a linear layer; the other is empty
  std::vector<std::uint32_t> factor_of;  // [in_features]: the factor of each channel
  std::size_t factors = 0;               // as many as the norm has channels, or the source rows

  std::size_t in_features() const { return factor_of.size(); }
};

// All of a model, block by block: query/key/value (with a parallel block's gate/up), gate/up (with a mixture's router),
// output, down; last the head. Not there, since no factor passes: the input of down in an MLP without gate, the input
// of a head that is the embedding too.
std::vector<ScalableInput> scalable_inputs(const ModelFolder& model);

}  // namespace lcomp
