#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// What a SentencePiece model file (tokenizer.model) holds, as far as tokenization depends on it.
struct SentencePieceModel {
  enum class PieceType { normal, unknown, control, user_defined, unused, byte };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::normal;
  };

  std::vector<Piece> pieces;  // the id is the index
  bool byte_fallback = false;
  bool add_dummy_prefix = true;          // a space before the text
  bool remove_extra_whitespaces = true;  // at both ends, and all but one of several
  std::optional<TokenId> begin;          // <s>
  std::optional<TokenId> unknown;
  std::string unknown_surface = " \xe2\x81\x87 ";  // what an unknown piece is decoded to: U+2047 between spaces
};

// Reads the protobuf message ModelProto of sentencepiece_model.proto. Throws Error naming `where` for damaged bytes,
// for models other than BPE (Unigram, Word, Char), and for what is not supported: a normalization table
// (precompiled_charsmap), spaces as suffixes, unescaped spaces, unused pieces.
SentencePieceModel parse_sentencepiece(std::span<const std::byte> bytes, const std::string& where);

// The tokenizer of such a model, with SentencePiece's semantics: encode() finds user-defined pieces in the text but not
// control pieces ("<s>" is three or more tokens); with add_special, begin is added and end is not. decode() writes
// control pieces as their text, unless skip_special, and removes the space that add_dummy_prefix added. Throws Error
// for a model that contradicts itself (no unknown piece, byte_fallback without all bytes, a piece twice).
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const SentencePieceModel& model, const std::string& where);

}  // namespace lcomp
