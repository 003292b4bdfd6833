#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lcomp/core/rng.h"
#include "lcomp/forward/decoder.h"

namespace lcomp {

// One growing sequence with the keys and values of its tokens, so that a token costs one pass over the weights. The
// decoder must outlive the session; it is loaded completely (Decoder::load_all) by the first one. Several sessions may
// share a decoder, one call at a time.
class GenerationSession {
 public:
  explicit GenerationSession(Decoder& decoder);
  ~GenerationSession();
  GenerationSession(GenerationSession&&) noexcept;
  GenerationSession& operator=(GenerationSession&&) noexcept;

  const DecoderConfig& config() const;
  std::span<const std::int32_t> tokens() const;
  std::size_t length() const { return tokens().size(); }

  // Appends tokens (at least one) and returns the logits of the last one, [vocab_size], valid until the next call. They
  // equal those of Decoder::forward on the whole sequence up to the rounding of float32. Throws Error for an id outside
  // the vocabulary; the session is then as before. A sequence that grows past longrope's original_positions is computed
  // anew with the long factors, as the reference does.
  std::span<const float> append(std::span<const std::int32_t> ids);

  // Forgets all tokens from `length` on, for another continuation of the same beginning. length <= length().
  void truncate(std::size_t length);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// How the next token is chosen from logits.
struct SamplingOptions {
  double temperature = 0;  // 0: the most likely token; else logits are divided by it
  std::size_t top_k = 0;   // only the k most likely; 0: all
  double top_p = 1;  // only the fewest most likely whose probabilities sum to at least this, after top_k; in (0, 1]
};

// The chosen token. Equal logits: the lower id counts as more likely. Draws one number from `rng` unless the
// temperature is 0. Throws Error for options out of range, and when a logit is NaN. O(vocab log vocab).
std::int32_t choose_token(std::span<const float> logits, const SamplingOptions& options, Rng& rng);

struct GenerationOptions {
  std::size_t max_tokens = 256;
  std::vector<std::int32_t> stop_ids;  // generation ends before one of these
  SamplingOptions sampling;
  std::function<bool(std::int32_t)> on_token;  // told of each token as it is chosen; false stops. May throw Interrupted
};

// Appends `prompt` to the session and continues it. Returns the new tokens, without the stop token. The session
// then holds the prompt and all of them but the last, which it may or may not hold. Throws Error for an empty prompt.
std::vector<std::int32_t> generate(GenerationSession& session, std::span<const std::int32_t> prompt,
                                   const GenerationOptions& options, Rng& rng);

}  // namespace lcomp
