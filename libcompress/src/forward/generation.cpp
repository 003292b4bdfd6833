#include "lcomp/forward/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "forward/decoder_state.h"
#include "forward/token_chunks.h"
#include "lcomp/core/error.h"

namespace lcomp {

struct GenerationSession::State {
  explicit State(Decoder& owner) : decoder(&owner) {}

  Decoder* decoder;
  std::vector<std::int32_t> tokens;
  std::vector<KeyValueCache> caches;  // [layer]
  Matrix states;                      // [chunk_tokens, hidden]
  Matrix logits;                      // [1, vocab_size]

  bool uses_long_factors(std::size_t length) const {
    const auto& ropes = decoder->config().ropes;
    return std::any_of(ropes.begin(), ropes.end(),
                       [&](const RopeConfig& rope) { return needs_long_factors(rope, length); });
  }
  void truncate(std::size_t length) {
    tokens.resize(std::min(tokens.size(), length));
    for (KeyValueCache& cache : caches) cache.truncate(std::min(cache.length(), length));
  }
};

GenerationSession::GenerationSession(Decoder& decoder) : state_(std::make_unique<State>(decoder)) {
  decoder.load_all();
  const DecoderConfig& c = decoder.config();
  for (std::size_t layer = 0; layer < c.num_layers(); ++layer) {
    state_->caches.emplace_back(c.num_key_value_heads, c.head_dim);
  }
  state_->logits = Matrix(1, c.vocab_size);
}
GenerationSession::~GenerationSession() = default;
GenerationSession::GenerationSession(GenerationSession&&) noexcept = default;
GenerationSession& GenerationSession::operator=(GenerationSession&&) noexcept = default;

const DecoderConfig& GenerationSession::config() const { return state_->decoder->config(); }
std::span<const std::int32_t> GenerationSession::tokens() const { return state_->tokens; }

void GenerationSession::truncate(std::size_t length) {
  assert(length <= state_->tokens.size());
  state_->truncate(length);
}

std::span<const float> GenerationSession::append(std::span<const std::int32_t> ids) {
  State& s = *state_;
  Decoder::State& d = *s.decoder->state_;
  const DecoderConfig& c = config();
  if (ids.empty()) throw Error({"generation", "no tokens", "at least one token", ""});
  check_ids(ids, c, s.decoder->model().path.string());
  const std::size_t before = s.tokens.size();
  const std::size_t total = before + ids.size();
  if (before > 0 && s.uses_long_factors(total) != s.uses_long_factors(before)) {
    std::vector<std::int32_t> all = s.tokens;
    all.insert(all.end(), ids.begin(), ids.end());
    s.truncate(0);
    return append(all);
  }
  d.ropes.extend(total);
  const std::size_t rows = std::min(chunk_tokens, ids.size());
  if (s.states.rows() < rows) s.states = Matrix(rows, c.hidden_size);
  try {
    for (std::size_t begin = 0; begin < ids.size(); begin += chunk_tokens) {
      const std::span<const std::int32_t> chunk = ids.subspan(begin, std::min(chunk_tokens, ids.size() - begin));
      const MatrixView<float> states = s.states.view().rows_range(0, chunk.size());  // [chunk, hidden]
      d.embed(*d.model.tensors, chunk, states);
      for (std::size_t layer = 0; layer < c.num_layers(); ++layer) {
        const bool long_sequence = needs_long_factors(c.ropes[c.layers[layer].rope], total);
        const ChunkPiece piece{0, chunk.size(), before + begin, long_sequence, &s.caches[layer]};
        d.run_resident_block(layer, {&piece, 1}, states);
      }
      if (begin + chunk.size() < ids.size()) continue;
      const MatrixView<float> last = states.rows_range(chunk.size() - 1, 1);
      d.normalize(last);
      d.logits(last, s.logits.view());
    }
  } catch (...) {
    s.truncate(before);
    throw;
  }
  s.tokens.insert(s.tokens.end(), ids.begin(), ids.end());
  return s.logits.row(0);
}

std::int32_t choose_token(std::span<const float> logits, const SamplingOptions& options, Rng& rng) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw Error({"temperature", fmt::format("{}", options.temperature), "0 or more", ""});
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    throw Error({"top_p", fmt::format("{}", options.top_p), "more than 0, at most 1", ""});
  }
  if (std::any_of(logits.begin(), logits.end(), [](float v) { return std::isnan(v); })) {
    throw Error({"generation", "logits that are not numbers", "finite logits",
                 "the model's weights or their compression are broken"});
  }
  if (options.temperature == 0) {
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  std::vector<std::int32_t> order(logits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  const auto logit = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  if (options.top_k != 0 && options.top_k < order.size()) order.resize(options.top_k);
  std::vector<double> sums(order.size());  // running sums of probabilities times a constant
  double sum = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    sum += std::exp((static_cast<double>(logit(order[i])) - logit(order[0])) / options.temperature);
    sums[i] = sum;
  }
  // Fewest tokens whose probabilities reach top_p.
  const auto last = std::lower_bound(sums.begin(), sums.end(), options.top_p * sum);
  const std::size_t kept = std::min(sums.size(), static_cast<std::size_t>(last - sums.begin()) + 1);
  const double drawn = rng.uniform() * sums[kept - 1];
  const auto chosen = std::upper_bound(sums.begin(), sums.begin() + static_cast<std::ptrdiff_t>(kept), drawn);
  return order[std::min(kept - 1, static_cast<std::size_t>(chosen - sums.begin()))];
}

std::vector<std::int32_t> generate(GenerationSession& session, std::span<const std::int32_t> prompt,
                                   const GenerationOptions& options, Rng& rng) {
  std::vector<std::int32_t> generated;
  std::span<const float> logits = session.append(prompt);
  while (generated.size() < options.max_tokens) {
    const std::int32_t id = choose_token(logits, options.sampling, rng);
    if (std::find(options.stop_ids.begin(), options.stop_ids.end(), id) != options.stop_ids.end()) break;
    generated.push_back(id);
    if (options.on_token && !options.on_token(id)) break;
    if (generated.size() < options.max_tokens) logits = session.append({&id, 1});
  }
  return generated;
}

}  // namespace lcomp
