#include "training/window_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

// A text, or a piece of one, at the end of the batch; of its tokens all but the last predict the next.
void append(const TrainingTexts& texts, std::size_t text, std::size_t begin, std::size_t count, TrainingBatch& batch) {
  const std::span<const float> weights = texts.weights(text);
  for (std::size_t t = begin; t < begin + count; ++t) {
    const bool last = t + 1 == begin + count;
    const float weight = last ? 0.0F : weights.empty() ? 1.0F : weights[t + 1];
    batch.weights.push_back(weight);
    batch.total_weight += static_cast<double>(weight);
  }
}

}  // namespace

WindowStream::WindowStream(std::vector<const TrainingTexts*> sources, std::size_t window, bool joined, const Rng& rng)
    : window_(window), joined_(joined), rng_(rng) {
  if (sources.empty()) throw Error({"training data", "no files", "at least one", ""});
  assert(window >= 2);
  for (const TrainingTexts* texts : sources) sources_.push_back({texts, 0, 0, static_cast<std::uint64_t>(-1), {}});
}

void WindowStream::take_text(std::span<const double> shares) {
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::size_t chosen = sources_.size();
  for (std::size_t s = 0; s < sources_.size(); ++s) {
    if (shares[s] > 0 && (chosen == sources_.size() || sources_[s].credit > sources_[chosen].credit)) chosen = s;
  }
  assert(chosen < sources_.size());
  Source& source = sources_[chosen];
  const std::uint64_t texts = source.texts->texts(), pass = source.taken / texts;
  if (source.pass != pass) {
    source.order.resize(texts);
    std::iota(source.order.begin(), source.order.end(), 0U);
    rng_.split(chosen).split(pass).shuffle(std::span(source.order));
    source.pass = pass;
  }
  const std::size_t text = source.order[source.taken++ % texts], length = source.texts->length(text);
  for (std::size_t s = 0; s < sources_.size(); ++s) {
    sources_[s].credit += shares[s] / total * static_cast<double>(length);
  }
  source.credit -= static_cast<double>(length);
  for (std::size_t begin = 0; begin < length; begin += window_) {
    const std::size_t count = std::min(window_, length - begin);
    if (count >= 2) pieces_.push_back({chosen, text, begin, count});
  }
}

void WindowStream::add_piece(const Piece& piece, bool first, TrainingBatch& batch,
                             std::vector<std::int32_t>& joined) const {
  const TrainingTexts& texts = *sources_[piece.source].texts;
  const std::span<const TokenId> ids = texts.ids(piece.text).subspan(piece.begin, piece.count);
  append(texts, piece.text, piece.begin, piece.count, batch);
  if (!joined_) {
    batch.tokens.add(ids);
    return;
  }
  if (first) joined.clear();
  joined.insert(joined.end(), ids.begin(), ids.end());
}

TrainingBatch WindowStream::next(std::size_t windows, std::span<const double> shares) {
  assert(shares.size() == sources_.size());
  TrainingBatch batch;
  std::vector<std::int32_t> joined;
  for (std::size_t w = 0; w < windows; ++w) {
    std::size_t room = window_;
    for (bool first = true; room >= 2; first = false) {
      while (pieces_.size() < waiting) take_text(shares);
      const auto piece = std::ranges::find_if(pieces_, [&](const Piece& p) { return p.count <= room; });
      if (piece == pieces_.end()) break;
      add_piece(*piece, first, batch, joined);
      room -= piece->count;
      pieces_.erase(piece);
    }
    if (joined_) batch.tokens.add(joined);
  }
  return batch;
}

double WindowStream::passes(std::size_t source) const {
  return static_cast<double>(sources_[source].taken) / static_cast<double>(sources_[source].texts->texts());
}

nlohmann::json WindowStream::position() const {
  nlohmann::json taken = nlohmann::json::array(), credits = nlohmann::json::array();
  for (const Source& source : sources_) {
    taken.push_back(source.taken);
    credits.push_back(source.credit);
  }
  nlohmann::json pieces = nlohmann::json::array();
  for (const Piece& p : pieces_) pieces.push_back({p.source, p.text, p.begin, p.count});
  return {{"taken", taken}, {"credits", credits}, {"waiting", pieces}};
}

void WindowStream::restore(const nlohmann::json& position, const std::string& where) {
  const Error wrong({where, "a position in the training data that its files don't have", "", "begin in a new folder"});
  try {
    const auto taken = position.at("taken").get<std::vector<std::uint64_t>>();
    const auto credits = position.at("credits").get<std::vector<double>>();
    const auto pieces = position.at("waiting").get<std::vector<std::array<std::size_t, 4>>>();
    if (taken.size() != sources_.size() || credits.size() != sources_.size()) throw wrong;
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      sources_[s].taken = taken[s];
      sources_[s].credit = credits[s];
      sources_[s].pass = static_cast<std::uint64_t>(-1);
    }
    pieces_.clear();
    for (const auto& [source, text, begin, count] : pieces) {
      if (source >= sources_.size() || text >= sources_[source].texts->texts()) throw wrong;
      const std::size_t length = sources_[source].texts->length(text);
      if (count < 2 || count > window_ || begin > length || count > length - begin) throw wrong;
      pieces_.push_back({source, text, begin, count});
    }
  } catch (const nlohmann::json::exception&) {
    throw wrong;
  }
}

TrainingBatch first_windows(const TrainingTexts& texts, std::size_t window, bool joined, std::size_t windows) {
  TrainingBatch batch;
  std::vector<std::int32_t> ids;
  std::size_t used = 0;
  for (std::size_t text = 0; text < texts.texts() && used < windows; ++text) {
    for (std::size_t begin = 0; begin < texts.length(text); begin += window) {
      const std::size_t count = std::min(window, texts.length(text) - begin);
      if (count < 2) continue;
      if (ids.size() + count > window) {
        if (joined) batch.tokens.add(ids);
        ids.clear();
        if (++used == windows) break;
      }
      const std::span<const TokenId> piece = texts.ids(text).subspan(begin, count);
      append(texts, text, begin, count, batch);
      ids.insert(ids.end(), piece.begin(), piece.end());
      if (!joined) batch.tokens.add(piece);
    }
  }
  if (joined && used < windows && !ids.empty()) batch.tokens.add(ids);
  return batch;
}

}  // namespace lcomp
