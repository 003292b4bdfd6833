#include "lcomp/quantizers/cost/squared_error.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/format.h"

namespace lcomp {

SquaredError squared_error(ConstMatrixView weight, const CompressedWeight& compressed) {
  const WeightLayout shape = layout(compressed);
  assert(rows(shape) == weight.rows() && cols(shape) == weight.cols());
  const std::size_t alignment = rows_together(shape);
  const std::size_t worth_a_thread = divide_up(std::size_t{32768}, std::max<std::size_t>(weight.cols(), 1));
  const std::size_t chunk_rows = divide_up(worth_a_thread, alignment) * alignment;
  std::vector<SquaredError> chunks(divide_up(weight.rows(), chunk_rows));  // and then in order
  parallel_chunks(0, weight.rows(), chunk_rows, [&](std::size_t first, std::size_t last) {
    std::vector<float> decoded((last - first) * weight.cols());
    decode_rows(view(compressed), first, last - first, decoded);
    SquaredError sum;
    for (std::size_t i = first; i < last; ++i) {
      const float* row = decoded.data() + (i - first) * weight.cols();
      for (std::size_t j = 0; j < weight.cols(); ++j) {
        const double w = static_cast<double>(weight(i, j));
        const double difference = w - static_cast<double>(row[j]);
        sum.error += difference * difference;
        sum.weights += w * w;
      }
    }
    chunks[first / chunk_rows] = sum;
  });
  SquaredError total;
  for (const SquaredError& chunk : chunks) {
    total.error += chunk.error;
    total.weights += chunk.weights;
  }
  return total;
}

}  // namespace lcomp
