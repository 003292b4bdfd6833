#include "forward/token_chunks.h"

#include <algorithm>
#include <cassert>

namespace lcomp {

std::span<const std::int32_t> TokenBatch::sequence(std::size_t s) const {
  assert(s < sequences());
  return std::span(ids).subspan(offsets[s], offsets[s + 1] - offsets[s]);
}

void TokenBatch::add(std::span<const std::int32_t> sequence) {
  ids.insert(ids.end(), sequence.begin(), sequence.end());
  offsets.push_back(ids.size());
  if (!prefixes.empty()) prefixes.push_back(no_prefix);
}

void TokenBatch::add_after(std::size_t prefix, std::span<const std::int32_t> sequence) {
  assert(prefix < sequences() && this->prefix(prefix) == no_prefix);
  prefixes.resize(sequences(), no_prefix);
  add(sequence);
  prefixes.back() = prefix;
}

std::size_t TokenBatch::prefix_length(std::size_t s) const {
  return prefix(s) == no_prefix ? 0 : sequence(prefix(s)).size();
}

std::vector<TokenChunk> cut_into_chunks(const TokenBatch& batch) {
  std::vector<TokenChunk> chunks;
  for (std::size_t first = 0; first < batch.tokens(); first += chunk_tokens) {
    chunks.push_back({first, std::min(chunk_tokens, batch.tokens() - first), {}});
  }
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    const std::size_t begin = batch.offsets[s], end = batch.offsets[s + 1];
    const std::size_t before = batch.prefix_length(s);
    for (std::size_t token = begin; token < end;) {
      TokenChunk& chunk = chunks[token / chunk_tokens];
      const std::size_t rows = std::min(end, chunk.first_token + chunk.tokens) - token;
      chunk.pieces.push_back(
          {s, token - chunk.first_token, rows, before + token - begin, before + end - begin, token == begin});
      token += rows;
    }
  }
  return chunks;
}

std::vector<TokenChunk> cut_between_sequences(const TokenBatch& batch, std::size_t tokens_at_once) {
  std::vector<TokenChunk> chunks;
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    const std::size_t length = batch.sequence(s).size();
    if (length == 0) continue;
    if (chunks.empty() || chunks.back().tokens + length > tokens_at_once) chunks.push_back({batch.offsets[s], 0, {}});
    TokenChunk& chunk = chunks.back();
    chunk.pieces.push_back({s, chunk.tokens, length, 0, length, true});
    chunk.tokens += length;
  }
  return chunks;
}

}  // namespace lcomp
