#include "lcomp/forward/gradients.h"

#include "forward/block_backward.h"
#include "forward/gradient_pass.h"
#include "lcomp/core/error.h"

namespace lcomp {

double gradients(Decoder& decoder, const TokenBatch& batch, LogitCost& cost, GradientVisitor& visitor,
                 const GradientOptions& options) {
  if (!batch.prefixes.empty()) {
    throw Error({"gradients", "sequences that share a prefix", "whole sequences", "add each sequence as a whole"});
  }
  return GradientPass(decoder, batch, cost, visitor, options).run();
}

std::vector<std::string> gradient_order(const ModelFolder& model) {
  std::vector<std::string> names;
  const DecoderSlices& slices = model.slices;
  if (!model.config.tied_head) {
    const LinearSlices* head = &slices.head;
    LinearGradientSums::append_names({&head, 1}, names);
  }
  NormGradientSums::append_names(slices.final_norm, names);
  for (std::size_t layer = slices.blocks.size(); layer-- > 0;)
    BlockBackward::append_names(model.config, slices.blocks[layer], names);
  names.push_back(slices.embedding.tensor);
  return names;
}

}  // namespace lcomp
