#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/core/rng.h"
#include "lcomp/forward/decoder.h"
#include "training/training_texts.h"

namespace lcomp {

// Some windows of training texts.
struct TrainingBatch {
  TokenBatch tokens;
  std::vector<float> weights;  // [tokens], of the prediction made at each token, as NextTokenCost takes them
  double total_weight = 0;
};

// Cuts training texts into windows without end. Each source goes through its texts in a random order of its own, again
// and again in ever new ones; the next text is taken from the source that is furthest behind its share of the tokens. A
// text that fits in a window is never split; a longer one is cut into pieces of a window, the last of them shorter.
// Among the next `waiting` texts, the first one that still fits goes into the window at work, so that little room is
// left over; what is left is not computed.
class WindowStream {
 public:
  static constexpr std::size_t waiting = 32;

  // window: tokens. joined: the texts of a window are one sequence, and see those before them in it (the first token of
  // a text is not predicted); otherwise each is a sequence of its own. The texts must outlive this. All random choices
  // depend on `rng`'s seed. Throws Error when there are no sources.
  WindowStream(std::vector<const TrainingTexts*> sources, std::size_t window, bool joined, const Rng& rng);

  // The next `windows` windows. shares: [sources], >= 0, not all 0; of tokens.
  TrainingBatch next(std::size_t windows, std::span<const double> shares);

  // Where the stream stands, and back: what next() returns after restore(position()) is the same. Throws Error naming
  // `where` for a position that these sources can't have.
  nlohmann::json position() const;
  void restore(const nlohmann::json& position, const std::string& where);

  // How often the texts of a source were gone through, in passes.
  double passes(std::size_t source) const;

 private:
  struct Piece {
    std::size_t source = 0, text = 0, begin = 0, count = 0;
  };
  struct Source {
    const TrainingTexts* texts = nullptr;
    std::uint64_t taken = 0;  // texts, in all passes
    double credit = 0;        // tokens that it is behind its share
    std::uint64_t pass = static_cast<std::uint64_t>(-1);
    std::vector<std::uint32_t> order;  // of this pass
  };
  void take_text(std::span<const double> shares);
  void add_piece(const Piece& piece, bool first, TrainingBatch& batch, std::vector<std::int32_t>& joined) const;

  std::vector<Source> sources_;
  std::size_t window_;
  bool joined_;
  Rng rng_;
  std::vector<Piece> pieces_;  // that wait
};

// Windows from the beginning of some texts, in their order: what is evaluated. At most `windows` of them.
TrainingBatch first_windows(const TrainingTexts& texts, std::size_t window, bool joined, std::size_t windows);

}  // namespace lcomp
