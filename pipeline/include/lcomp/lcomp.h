#pragma once

// The library in one header, for programs: compress a model, score it, compare models and methods, or write a
// quantizer. What the functions here leave out is in the headers included: run_job() does all that `lcomp compress`
// does.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lcomp/compression/compression_report.h"
#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/matrix.h"
#include "lcomp/core/progress.h"
#include "lcomp/eval/choice_answers.h"
#include "lcomp/eval/choice_protocol.h"
#include "lcomp/eval/text_protocol.h"
#include "lcomp/eval/text_scores.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/compressed_weight.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/models/model_components.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/pipeline/compression_job.h"
#include "lcomp/pipeline/run_job.h"
#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "lcomp/quantizers/uniform/uniform_grid.h"
#include "lcomp/version.h"

namespace lcomp {

// The size that a model is to have, everything counted: one of the three. None: the method says its bits itself.
struct TargetSize {
  double ratio = 0;            // 2 parameters / bytes
  double bits_per_weight = 0;  // 8 bytes / parameters
  std::uint64_t bytes = 0;
};

// The calibration data: so many sequences of so many tokens, drawn from text files (".jsonl": an object with a string
// "text" a line; anything else: raw text). Learned allocation draws 40 further ones. No files: no calibration.
struct CalibrationData {
  std::vector<std::filesystem::path> files;
  std::size_t sequences = 128, tokens = 2048;
  std::uint64_t seed = 0;  // of the draw
};

// The job that compress() does. method: a method string (quantizers/quantizer_table.h), or "learned": rate-coded
// weights with learned allocation. Methods that share out the size by sensitivities are calibrated on the original,
// with the sensitivities of its divergence; others block by block, on the outputs of the compressed blocks before.
// Throws Error for a method, a size or calibration data that are wrong.
CompressionJob make_job(const std::string& method, const TargetSize& size = {},
                        const CalibrationData& calibration = {});

// Compresses `model`, a Hugging Face folder or a GGUF file, into the folder `out`, which must not exist. Called again
// after its process died, it goes on where it was. Throws Error as make_job() and run_job().
CompressionReport compress(const std::filesystem::path& model, const std::string& method, const TargetSize& size,
                           const CalibrationData& calibration, const std::filesystem::path& out,
                           const ProgressCallback& progress = {});

// The same by a quantizer of one's own, for every embedding, linear layer and head; norms, biases and routers are kept
// exactly. It is calibrated block by block where it uses statistics. Not for a target size, since allocators ask for
// the choices of a method of the library; what is finished is not kept.
CompressionReport compress(const std::filesystem::path& model, const std::shared_ptr<const Quantizer>& quantizer,
                           const CalibrationData& calibration, const std::filesystem::path& out,
                           const ProgressCallback& progress = {});

struct EvaluateOptions {
  std::filesystem::path reference;  // the original, for the divergence from it; empty: none is computed
  std::string data;                 // the folder of the data sets wikitext2, c4, mmlu and arc; not for files
  ComputeType compute = ComputeType::float32;
  ProgressCallback progress = {};
};
// Perplexity, and with a reference KL divergence, on a text. Throws Error as make_scoring_batch() and open_model().
TextScores evaluate(const std::filesystem::path& model, const TextProtocol& protocol,
                    const EvaluateOptions& options = {});
// Answers to questions with choices: mmlu, arc or a file's. The reference isn't used.
ChoiceSummary evaluate(const std::filesystem::path& model, const ChoiceProtocol& protocol,
                       const EvaluateOptions& options = {});

// One of several models of one original.
struct ComparedModel {
  std::filesystem::path model;
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  double ratio = 0;
  TextScores scores;  // with the divergence from the original
};
// Scores `models` against their original on the same tokens; the original runs once. options.reference isn't used.
std::vector<ComparedModel> compare(const std::filesystem::path& original,
                                   const std::vector<std::filesystem::path>& models, const TextProtocol& protocol,
                                   const EvaluateOptions& options = {});

// A weight [rows, cols] by one method, and what was lost.
struct QuantizedTensor {
  std::string method;           // Quantizer::name()
  CompressedWeight compressed;  // what is stored
  Matrix decoded;               // [rows, cols]
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  double squared_error = 0;           // sum (w - w^)^2
  double relative_error = 0;          // that / sum w^2
  std::optional<double> proxy_error;  // tr((W - W^) H (W - W^)^T), where stats have the Hessian
  double seconds = 0;                 // of the quantizer
  std::vector<std::string> warnings;
};
// Throws Error as make_quantizer() and Quantizer::quantize(), which gets stats as they are. component: the weight's
// name, in errors.
QuantizedTensor quantize(ConstMatrixView weight, const LayerStats& stats, const std::string& method);
QuantizedTensor quantize(ConstMatrixView weight, const LayerStats& stats, const Quantizer& quantizer,
                         const std::string& component = "weight");

}  // namespace lcomp
