#pragma once

#include <filesystem>
#include <string>

#include "lcomp/core/matrix.h"
#include "lcomp/eval/text_scores.h"

namespace lcomp {

// The original's side of a KL divergence, kept on disk, so that it runs once for any number of compressed models.
//   FOLDER/KEY.safetensors: `states` [scored tokens, hidden] float32, metadata: key, checksum, description
// KEY hashes the original's content, the scored tokens (hash_batch) and the type of its products. What is kept are
// scored_states(), not log-probabilities: the original's head makes its logits from them, as it did, so that a
// divergence with the cache is the one without it, bit for bit. The k most likely tokens and the mass of the rest would
// have an error that nothing bounds (the rest's share of the divergence depends on the other model) and be larger: of
// SmolLM2, tokens of p > 1e-6 are 4,000 of 49,152 and leave 0.24 % of the mass, 24 kB a position; its states take
// 2.3 kB. The price is one product with the head a model.

// The file of a model of this content hash, for this batch.
std::filesystem::path reference_file(const std::filesystem::path& folder, const std::string& model_hash,
                                     ComputeType compute, const ScoringBatch& batch);

// scored_states(original, batch, options), from `file` where it exists; else computed and stored there, under that name
// only when it is complete. Folders are made. Throws Error naming the file when it is damaged or of something else, and
// for a full disk.
Matrix cached_states(const std::filesystem::path& file, Decoder& original, const ScoringBatch& batch,
                     const ForwardOptions& options);

}  // namespace lcomp
