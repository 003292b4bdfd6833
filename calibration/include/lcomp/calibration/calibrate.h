#pragma once

#include <filesystem>

#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/calibration/calibration_options.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// Runs the tokens of `batch` through the model, block by block, and keeps in `archive` (a folder, see
// calibration_archive.h) what every linear layer was given: Hessian, mean and absolute maximum of each input channel,
// number of tokens; the same for the output head, and how often each token occurs.
//   H = 2/n sum_t x_t x_t^T,    linear layers with the same input (q/k/v, gate/up) share one
// All tokens go through one block before the next is read. Between blocks the residual stream waits in 16 bits a value
// (ResidualStorage), in memory or on disk.
//
// What 16 bits do: values are rounded to 11 bits between blocks, so that Hessians differ from those of a float32 stream
// by less than 5e-3 of their diagonal in the tests' random models. ResidualStorage::float32 avoids it.
//
// Resumes: after a layer is done, its statistics and the residual stream (a file of 2 hidden + 4 bytes a token, deleted
// once the next one is there) are on disk. Killed at any moment and called again with the same arguments, it goes on at
// the layer where it stopped, and the archive ends up with the same values. Done already, it returns at once.
// The same model, batch, options and number of threads give the same bytes, for any memory limits. Another number of
// threads changes the forward pass by the rounding of float32 sums, nothing else.
//
// Memory: a block in float32, the Hessian sums of its inputs (4 in_features^2 bytes each), 8192 tokens of the residual
// stream in float32, and the stream itself up to memory_limit: 3 GB + the stream for the shape of Llama 2 7B. Disk: 2
// in_features^2 bytes a different input (0.34 GB a layer for 7B, less compression), two copies of the stream, a third
// beyond memory_limit.
//
// Throws Error for a batch without tokens, a token outside the vocabulary, activations that are NaN or infinite (naming
// layer, component, sequence and position), an archive of another model, other calibration data or options (naming
// which), one that another process is writing, and a full disk. Whatever the progress callback throws ends the work at
// the last finished layer.
CalibrationArchive calibrate(Decoder& decoder, const TokenBatch& batch, const std::filesystem::path& archive,
                             const CalibrationOptions& options = {});

// What an archive made by calibrate() with these arguments belongs to.
CalibrationKey calibration_key(const ModelFolder& model, ComputeType compute, const TokenBatch& batch,
                               const CalibrationOptions& options = {});

}  // namespace lcomp
