#pragma once

#include "compression/allocation/kept_factors.h"
#include "lcomp/compression/compress_model.h"

namespace lcomp {

// compress_model() with the factored Hessians of earlier compressions of the same model by the same statistics.
CompressionReport compress_model(const ModelFolder& model, const CompressionPlan& plan,
                                 const std::filesystem::path& out, const CompressOptions& options, KeptFactors& factors,
                                 const ProgressCallback& progress);

}  // namespace lcomp
