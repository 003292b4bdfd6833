#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/archive/workspace.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/compression/compression_report.h"
#include "lcomp/compression/statistics_source.h"
#include "lcomp/core/progress.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

struct CompressOptions {
  bool replace = false;              // replace an existing model of that name
  StatisticsSource statistics = {};  // for quantizers that use statistics, and to share out a target
  // Where finished components are kept until the caller clears it: called again after kill -9 with the same arguments,
  // they are taken from there, and the result is the same. Its key says what else than the plan decides the result: the
  // model, the calibration data.
  Workspace work = {};
  // Where the costs of components at each bit width are kept that allocator across measures, for other targets too. Its
  // key says what decides them beside the components' settings: the model, the statistics.
  Workspace costs = {};
  std::uint64_t reserved_bytes = 0;                  // of the target, for what is added to the model later
  nlohmann::json record = nlohmann::json::object();  // further entries of the folder's description
};

// Compresses a model by a plan and writes it as a compressed folder (formats/compressed_folder.h) under `out`,
// tokenizer files included. Components are read, quantized and written one by one.
//
// Norms, biases, and routers that the plan doesn't name are kept exactly, in the smallest of f16, bf16 and f32 that
// holds all their values. Quantizers that use statistics get those of options.statistics, in its order; a component of
// which nothing is known is rounded (Quantizer::quantize_without_statistics), and for a linear layer the report says
// so. Input scales that a method folds (InputScalingOptions::fold) are chosen first and go into norms and linear
// layers, which then differ from the original's; the function is kept up to float32's rounding. With "activations" in
// the plan, the folder says how inputs are rounded, and has their grids where ranges are fixed, from the same
// statistics.
//
// With a target, plan.allocation shares it out among the components of open size. All but fixed bit widths under
// allocator fixed need statistics of the original, in any order; sharing out by cost needs sensitivities. The sizes of
// rate-coded components are known only after coding: each is compressed to what is left, and the last ends the budget.
//
// The folder appears when it is complete; an exception, Interrupted included, leaves nothing behind. Memory: one
// component in float32 with its statistics, and for rate-coded components at most 2 GiB of factored Hessians, which
// allocation and compression share. Throws Error for a plan that doesn't fit the model, a target that can't be reached
// (saying the smallest size that can), missing statistics, weights that hold NaN or infinity, and an existing `out`
// without replace. Same model and plan: the same bytes, whatever the number of threads.
CompressionReport compress_model(const ModelFolder& model, const CompressionPlan& plan,
                                 const std::filesystem::path& out, const CompressOptions& options = {},
                                 ProgressCallback progress = {});

}  // namespace lcomp
