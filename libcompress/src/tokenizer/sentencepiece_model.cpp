#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"
#include "tokenizer/protobuf_reader.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/unicode.h"

namespace lcomp {
namespace {

using Piece = SentencePieceModel::Piece;
using PieceType = SentencePieceModel::PieceType;

constexpr std::int64_t unigram_model = 1;
constexpr std::int64_t bpe_model = 2;

std::string model_type_name(std::int64_t type) {
  switch (type) {
    case unigram_model:
      return "Unigram";
    case bpe_model:
      return "BPE";
    case 3:
      return "Word";
    case 4:
      return "Char";
    default:
      return fmt::format("{}", type);
  }
}

// What only the check of the whole model needs.
struct Settings {
  std::int64_t model_type = unigram_model;
  std::string begin_piece = "<s>";
  bool whitespace_as_suffix = false;
  bool escape_whitespaces = true;
  std::string normalization;
  bool has_normalization_table = false;
};

Piece read_piece(ProtobufReader message, const std::string& where) {
  Piece piece;
  while (const auto field = message.next()) {
    if (field->number == 1) {
      piece.text = message.text(*field);
    } else if (field->number == 2) {
      piece.score = message.float32(*field);
    } else if (field->number == 3) {
      switch (message.integer(*field)) {
        case 1:
          piece.type = PieceType::normal;
          break;
        case 2:
          piece.type = PieceType::unknown;
          break;
        case 3:
          piece.type = PieceType::control;
          break;
        case 4:
          piece.type = PieceType::user_defined;
          break;
        case 5:
          piece.type = PieceType::unused;
          break;
        case 6:
          piece.type = PieceType::byte;
          break;
        default:
          throw Error({where, fmt::format("a piece of type {}", message.integer(*field)), "types 1 to 6", ""});
      }
    }
  }
  if (piece.text.empty() || !is_valid_utf8(piece.text)) {
    throw Error({where, piece.text.empty() ? "an empty piece" : "a piece that is not valid UTF-8", "UTF-8 text", ""});
  }
  if (std::isnan(piece.score))
    throw Error({where, fmt::format("the score NaN of \"{}\"", excerpt(piece.text)), "a number", ""});
  return piece;
}

void read_trainer_spec(ProtobufReader message, SentencePieceModel& model, Settings& settings) {
  while (const auto field = message.next()) {
    switch (field->number) {
      case 3:
        settings.model_type = message.integer(*field);
        break;
      case 24:
        settings.whitespace_as_suffix = message.boolean(*field);
        break;
      case 35:
        model.byte_fallback = message.boolean(*field);
        break;
      case 44:
        model.unknown_surface = replace_invalid_utf8(message.text(*field));
        break;
      case 46:
        settings.begin_piece = message.text(*field);
        break;
      default:
        break;
    }
  }
}

void read_normalizer_spec(ProtobufReader message, SentencePieceModel& model, Settings& settings) {
  while (const auto field = message.next()) {
    switch (field->number) {
      case 1:
        settings.normalization = message.text(*field);
        break;
      case 2:
        settings.has_normalization_table = !message.text(*field).empty();
        break;
      case 3:
        model.add_dummy_prefix = message.boolean(*field);
        break;
      case 4:
        model.remove_extra_whitespaces = message.boolean(*field);
        break;
      case 5:
        settings.escape_whitespaces = message.boolean(*field);
        break;
      default:
        break;
    }
  }
}

void check_supported(const Settings& settings, const std::string& where) {
  const auto refuse = [&where](const std::string& found, const std::string& expected) {
    throw Error({where, found, expected, "This SentencePiece model is not supported."});
  };
  if (settings.model_type != bpe_model) refuse("a model of type " + model_type_name(settings.model_type), "BPE");
  if (settings.has_normalization_table) {
    refuse(fmt::format("normalizer_spec.precompiled_charsmap (the rules \"{}\")", excerpt(settings.normalization)),
           "none, or identity");
  }
  if (settings.whitespace_as_suffix) refuse("trainer_spec.treat_whitespace_as_suffix", "spaces before words");
  if (!settings.escape_whitespaces) refuse("normalizer_spec.escape_whitespaces: false", "spaces written as U+2581");
}

}  // namespace

SentencePieceModel parse_sentencepiece(std::span<const std::byte> bytes, const std::string& where) {
  SentencePieceModel model;
  Settings settings;
  ProtobufReader message(bytes, where);
  while (const auto field = message.next()) {
    switch (field->number) {
      case 1:
        model.pieces.push_back(read_piece(message.message(*field), where));
        break;
      case 2:
        read_trainer_spec(message.message(*field), model, settings);
        break;
      case 3:
        read_normalizer_spec(message.message(*field), model, settings);
        break;
      default:
        break;
    }
  }
  if (model.pieces.empty()) throw Error({where, "no pieces", "a SentencePiece model", ""});
  check_supported(settings, where);
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    if (piece.type == PieceType::unknown) {
      if (model.unknown) throw Error({where, "two pieces of type unknown", "one", ""});
      model.unknown = checked_cast<TokenId>(id, where);
    }
    if (piece.type == PieceType::control && piece.text == settings.begin_piece && !model.begin) {
      model.begin = checked_cast<TokenId>(id, where);
    }
    if (piece.type == PieceType::unused) {
      throw Error({where, fmt::format("the piece \"{}\" of type unused", excerpt(piece.text)),
                   "a vocabulary without restriction", "This SentencePiece model is not supported."});
    }
  }
  return model;
}

}  // namespace lcomp
