#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/compression/compression_plan.h"
#include "lcomp/compression/statistics_provider.h"
#include "lcomp/core/progress.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

struct CompressOptions {
  bool replace = false;                      // replace an existing model of that name
  StatisticsProvider* statistics = nullptr;  // for quantizers that use statistics; null: there are none
  // A folder that finished components are kept in until the caller deletes it: called again after kill -9 with the same
  // arguments, they are taken from there, and the result is the same. Empty: none is kept. `work_key` says what else
  // than the plan decides the result: the model's content, the calibration.
  std::filesystem::path work = {};
  std::string work_key = {};
  // A folder where what allocator across measures of components at each width is kept, for other targets too.
  // `measured_key` says what decides it beside the components' settings: the model's content, the statistics.
  std::filesystem::path measured = {};
  std::string measured_key = {};
  std::uint64_t reserved_bytes = 0;                  // of the target, for what is added to the model later
  nlohmann::json record = nlohmann::json::object();  // further entries of the folder's description
};

struct ComponentReport {
  std::string name;
  ComponentKind kind = ComponentKind::linear;
  std::string quantizer;  // "rtn:bits=4,group=64,asym"
  std::string format;     // describe() of formats/format.h
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  double relative_error = 0;  // sum (w - w^)^2 / sum w^2; w with the scales that were folded
  double bits_slope = 0;      // rate-coded of chosen precision: d bits / d precision, about; else 0
  std::vector<std::string> warnings;
};

struct CompressionReport {
  std::vector<ComponentReport> components;  // in the order of the forward pass
  std::uint64_t kept_parameters = 0;        // norms, biases
  std::uint64_t kept_bytes = 0;
  std::uint64_t activation_bytes = 0;  // of the grids that inputs are rounded to
  std::uint64_t parameters = 0;        // of the original; a tied embedding counts once
  std::uint64_t bytes = 0;             // the data of model.safetensors
  double bits_per_weight = 0;          // 8 bytes / parameters
  double ratio = 0;                    // 2 parameters / bytes
};
nlohmann::json to_json(const CompressionReport& report);

// Compresses a model by a plan and writes it as a compressed folder (formats/compressed_folder.h) under `out`,
// tokenizer files included. Components are read, quantized and written one by one, so that memory holds one of them in
// float32. Norms and biases are kept exactly, in the smallest of f16, bf16 and f32 that holds all their values; so are
// routers that the plan doesn't name. Quantizers that use statistics get those of options.statistics, in its order; a
// component of which nothing is known is rounded (Quantizer::quantize_without_statistics), and for a linear the report
// says so. Input scales that a method folds (InputScalingOptions::fold) are chosen first and go into norms and linears,
// which then differ from the original's; the function is kept up to float32's rounding. With a target, the allocator
// first measures the squared error of components at the widths it considers, rounded without statistics. With
// "activations" in the plan, the folder says how inputs are rounded, and has their grids where ranges are fixed, from
// the same statistics. The folder appears when it is complete; an exception, Interrupted included, leaves nothing
// behind. Throws Error for a plan that doesn't fit the model, a target that can't be reached (saying the smallest size
// that can), weights that hold NaN or infinity, and an existing `out` without replace. Same model and plan: the same
// bytes, whatever the number of threads.
CompressionReport compress_model(const ModelFolder& model, const CompressionPlan& plan,
                                 const std::filesystem::path& out, const CompressOptions& options = {},
                                 ProgressCallback progress = {});

}  // namespace lcomp
