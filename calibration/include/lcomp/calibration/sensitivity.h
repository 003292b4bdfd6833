#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/core/progress.h"
#include "lcomp/forward/cost.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// How much a cost depends on the outputs and weights of one component, to second order. With z = W x, and g_t the
// gradient with respect to z_t of the cost summed over tokens; n: all tokens of the calibration data, also for an
// expert, which sees some of them.
//   outputs[i] = 1/n sum_t g_ti^2
//   rows[i]    = 1/n sum_t,j (g_ti x_tj)^2
//   columns[j] = 1/n sum_t,i (g_ti x_tj)^2
// The last two are sums over the diagonal of the empirical Fisher information of W. For an embedding x is one-hot: rows
// are tokens. A tied embedding has the sum of both uses; `outputs` is then that of the head.
struct Sensitivity {
  std::vector<float> outputs, rows, columns;
};

// Which cost; and what else decides the values.
enum class SensitivityCost {
  divergence,     // labels drawn from the model itself: the Fisher information, the Hessian of the KL divergence
  cross_entropy,  // the calibration data's own next tokens
};
std::string_view name(SensitivityCost cost);

struct SensitivityOptions {
  SensitivityCost cost = SensitivityCost::divergence;
  std::size_t draws = 1;       // of labels; costs as many passes over the calibration data. 1 for cross_entropy
  std::uint64_t seed = 0;      // of the labels
  std::size_t row_groups = 4;  // of the guided Hessians
  // Bytes of the blocks' inputs that are kept in memory; more go to a temporary file.
  std::uint64_t memory_limit = std::uint64_t{2} << 30;
  ProgressCallback progress;
};

// Adds to a finished archive of calibrate(), on the same model and calibration data, what `options.cost` says of its
// linear layers: Sensitivity of each component, and the guided Hessian of each group of consecutive output rows J_k
// (GuidedQuant, arXiv 2505.07004): tokens weighted by the mean squared gradient of the group's outputs,
//   H_k = 2/n sum_t (1/|J_k| sum_i in J_k g_ti^2) x_t x_t^T
// with row_groups groups of as equal size as can be (fewer for components with fewer rows). One forward and one
// backward pass; products in float32, sums over tokens in double (hessian_accumulator.h). Killed and called again with
// the same arguments, it repeats the passes but not the sums of the layers that were done. There already, it returns at
// once. Memory: gradients() with 2048 tokens at once + 4 in_features^2 row_groups bytes for each linear layer of a
// block, 3.5 GB for the shape of Llama 2 7B. Throws Error for an archive of another model or other calibration data,
// one that has sensitivities under other options, and as gradients().
void add_sensitivities(Decoder& decoder, const TokenBatch& batch, const std::filesystem::path& archive,
                       const SensitivityOptions& options = {});

// Rows first ... of group k of `groups` when `rows` are shared out: 0, about rows / groups, ..., rows for k = 0 ...
// groups.
std::size_t row_group_begin(std::size_t rows, std::size_t groups, std::size_t k);

}  // namespace lcomp
