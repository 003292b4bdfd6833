#pragma once

#include <filesystem>
#include <string>

#include "lcomp/core/matrix.h"
#include "lcomp/eval/text_scores.h"

namespace lcomp {

// Final states of the uncompressed model on disk, so that KL divergence runs it once for any number of compressed
// models.
//   FOLDER/KEY.safetensors: `states` [scored tokens, hidden] float32, metadata: key, checksum, description
// KEY hashes the content of the uncompressed model, the scored tokens (hash_batch) and the type of its products. The
// file holds scored_states(), not log-probabilities: the output head computes the same logits from them, so that the
// divergence equals the one without the cache bit for bit. The k most likely tokens with the remaining mass would have
// an unbounded error (how much the remainder contributes depends on the compressed model) and be larger: for SmolLM2
// the 4,000 of 49,152 tokens with p > 1e-6 leave 0.24 % of the mass and take 24 kB per position, the states 2.3 kB. The
// cost is one product with the output head per compressed model.

// Path of the cache file for a model with this content hash and this batch.
std::filesystem::path reference_file(const std::filesystem::path& folder, const std::string& model_hash,
                                     ComputeType compute, const ScoringBatch& batch);

// Returns scored_states(original, batch, options): read from `file` where it exists, else computed and written to it.
// The file gets its name only when it is complete; missing folders are created. Throws Error naming the file when it is
// damaged or belongs to another model or batch, and when the disk is full.
Matrix cached_states(const std::filesystem::path& file, Decoder& original, const ScoringBatch& batch,
                     const ForwardOptions& options);

}  // namespace lcomp
