#include "lcomp/compression/compress_model.h"

#include <cstdint>
#include <utility>

#include "compression/allocation/allocation.h"
#include "compression/component_compression.h"
#include "compression/component_writer.h"
#include "compression/compression_with_factors.h"
#include "compression/planned_model.h"

namespace lcomp {

CompressionReport compress_model(const ModelFolder& model, const CompressionPlan& plan,
                                 const std::filesystem::path& out, const CompressOptions& options,
                                 ProgressCallback progress) {
  KeptFactors factors;
  return compress_model(model, plan, out, options, factors, progress);
}

CompressionReport compress_model(const ModelFolder& model, const CompressionPlan& plan,
                                 const std::filesystem::path& out, const CompressOptions& options, KeptFactors& factors,
                                 const ProgressCallback& callback) {
  PlannedModel planned(model, plan);
  Allocation allocation(planned, options, factors, callback);
  ComponentCompression compression(planned, allocation, options, callback);
  ComponentWriter writer(planned, out, options);

  std::uint64_t weights = 0;
  for (const ModelComponent& component : planned.components) weights += component.parameters();
  Progress progress(callback, "compressing", weights);
  for (const std::size_t component : compression.order()) {
    writer.add(component, compression.compress(component));
    progress.advance(planned.components[component].parameters());
  }
  return writer.finish();
}

}  // namespace lcomp
