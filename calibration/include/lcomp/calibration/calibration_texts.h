#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lcomp/forward/decoder.h"
#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// Which texts the calibration data are drawn from.
struct CalibrationTextOptions {
  // ".jsonl": one object with a string "text" a line, each a text; anything else: one raw text.
  std::vector<std::filesystem::path> files;
  // Texts besides those of the files, made when they are read, such as a task's prompts; and what they are called.
  std::function<std::vector<std::string>()> prompts;
  std::string prompts_name;
  std::optional<std::size_t> sequences = 128;  // exactly so many; as many as there are when absent
  std::size_t tokens = 2048;                   // in each sequence; with ShortTexts::keep, at most
  enum class ShortTexts {
    concatenate,  // shorter texts are joined, in the order drawn, until they fill a window
    skip,         // they are left out, as in the C4 protocol
    keep,         // each is a sequence of its own, as AutoGPTQ calibrates
  };
  ShortTexts short_texts = ShortTexts::concatenate;
  enum class LongTexts {
    cut,    // a text longer than a window gives its first one; the rest is not used
    split,  // where first windows don't suffice, the second ones of texts follow, then the third ...; they begin
            // without a begin token
  };
  LongTexts long_texts = LongTexts::cut;
  std::uint64_t seed = 0;   // of the order in which texts are drawn
  bool add_special = true;  // let the tokenizer add its begin token at the start of each text
};

struct CalibrationTexts {
  TokenBatch batch;         // every sequence is of `tokens` tokens (ShortTexts::keep: at most)
  std::string description;  // files, sequences, tokens, begin token: for people
};

// Draws token sequences from the files. Lines of all .jsonl files, prompts and windows of all raw texts are put in one
// seeded order and drawn until there are enough sequences:
//   a text of at least `tokens` tokens is cut to its first `tokens` tokens: one sequence, the rest is not used but with
//   LongTexts::split;
//   shorter ones are skipped, or kept as they are, or joined: when those waiting reach `tokens`, they are cut there and
//   make a sequence, and the next text begins a new one, so that every sequence begins where a text begins; a raw text
//   is tokenized as a whole and cut into windows without overlap, its tail left out.
// The same files, options and tokenizer give the same tokens, whatever the number of threads. Lines are read as they
// are drawn: a file of many gigabytes costs no memory and no time but that of finding its lines. Throws Error for no
// files, an unknown file, a line that is no such object (naming it), a text that has no window, and too few texts for
// `sequences`, saying how many there are.
CalibrationTexts read_calibration_texts(const CalibrationTextOptions& options, const Tokenizer& tokenizer);

}  // namespace lcomp
