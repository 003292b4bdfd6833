#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/forward/decoder.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// The evaluation data of a text task, the tokens that are scored, and how perplexity is averaged. Results are
// comparable only under the same protocol; every result therefore carries its description.
struct TextProtocol {
  enum class Kind {
    wikitext2,  // raw test text tokenized as one string, non-overlapping windows, the tail that fills no window left
                // out; perplexity = exp(mean NLL over all scored tokens)
    c4,    // each text cut to its first `window` tokens, shorter texts left out; perplexity per text, mean over texts
    file,  // a user's text: JSON lines like c4, anything else raw like wikitext2
  };
  Kind kind = Kind::wikitext2;
  std::filesystem::path file;            // for Kind::file
  std::size_t window = 512;              // tokens; default 512 for wikitext2, 1024 for c4
  std::size_t first_scored = 1;          // positions before it are context only; default 1 for wikitext2, 512 for c4
  std::optional<std::size_t> sequences;  // upper limit on windows or documents; absent: all
  bool add_special = true;               // let the tokenizer add its begin token at the start of each text

  // Reads "protocol", "file", "window", "first_scored", "sequences" and "bos".
  static TextProtocol from_config(ConfigReader& config);
  nlohmann::json to_json() const;  // complete, for hashing and for metrics.json
  std::string name() const;        // "wikitext2", "c4" or the file's name
};

// Token sequences with the positions that are scored. Position p of a sequence is predicted from its tokens 0 ... p
// - 1.
struct ScoringBatch {
  TokenBatch tokens;
  std::size_t first_scored = 1;      // in every sequence
  bool mean_over_sequences = false;  // perplexity per sequence, then the mean (C4); else exp of the mean NLL
  std::string description;           // readable text: protocol, window, tokens, begin token

  std::size_t scored_tokens() const;
};

// Hash of the tokens, the scored positions and the averaging: batches with equal hashes give a model the same results.
std::string hash_batch(const ScoringBatch& batch);

// Tokenizes the protocol's evaluation data. `data` is used for wikitext2 and c4 only. Throws Error for absent data, or
// a text too short for a window.
ScoringBatch make_scoring_batch(const TextProtocol& protocol, const Tokenizer& tokenizer, const std::string& data);

}  // namespace lcomp
