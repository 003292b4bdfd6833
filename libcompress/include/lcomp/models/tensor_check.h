#pragma once

#include <functional>

#include "lcomp/io/tensor_source.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Calls visit for every slice that names a tensor, in no particular order.
void for_each_slice(const DecoderSlices& slices, const std::function<void(const TensorSlice&)>& visit);

// Compares what the decoder needs with what the source has: missing tensors, wrong shapes, and tensors that nobody uses
// (an unknown variant of the family). Tolerated: buffers that can be computed (rotary_emb.inv_freq, attention masks),
// and the head of a model whose config.json says that it is tied (transformers ignores it too). Throws one Error naming
// all that is wrong, the first eight in full.
void check_tensors(const TensorSource& source, const DecoderConfig& config, const DecoderSlices& slices);

}  // namespace lcomp
