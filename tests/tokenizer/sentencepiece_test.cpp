#include "tokenizer/sentencepiece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <fstream>
#include <string>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/io/mapped_file.h"
#include "support/reference_data.h"
#include "tiny_tokenizer.h"

namespace lcomp {
namespace {

using testing::tokens_of;
using Strings = std::vector<std::string>;
using PieceType = SentencePieceModel::PieceType;

// Writes protobuf messages, to have something to read.
std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7f));
  return out + static_cast<char>(value);
}
std::string integer_field(std::uint32_t number, std::uint64_t value) { return varint(number << 3) + varint(value); }
std::string bytes_field(std::uint32_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string float_field(std::uint32_t number, float value) {
  std::string out = varint(number << 3 | 5);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>(bits >> shift & 0xff);
  return out;
}
std::string piece(const std::string& text, float score, int type) {
  return bytes_field(1,
                     bytes_field(1, text) + float_field(2, score) + integer_field(3, static_cast<std::uint64_t>(type)));
}
const std::string bpe = integer_field(3, 2);
const std::string plain = bytes_field(3, integer_field(3, 0) + integer_field(4, 0));  // no dummy prefix, spaces kept

SentencePieceModel parse(const std::string& bytes) {
  return parse_sentencepiece(std::as_bytes(std::span(bytes.data(), bytes.size())), "x.model");
}

std::string parse_error(const std::string& bytes) {
  try {
    make_sentencepiece_tokenizer(parse(bytes), "x.model");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string small_model() {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("a", -10, 1) + piece("b", -11, 1) + piece("ab", -1, 1) +
         piece("▁", -9, 1) + piece("▁a", -2, 1) + piece("USER", 0, 4) + bytes_field(2, bpe);
}

TEST(SentencePiece, ReadsTheModel) {
  const SentencePieceModel model = parse(small_model() + plain + integer_field(99, 5));
  ASSERT_EQ(model.pieces.size(), 8u);
  EXPECT_EQ(model.pieces[4].text, "ab");
  EXPECT_EQ(model.pieces[4].score, -1.0f);
  EXPECT_EQ(model.pieces[7].type, PieceType::user_defined);
  EXPECT_EQ(model.unknown, 0);
  EXPECT_EQ(model.begin, 1);
  EXPECT_FALSE(model.add_dummy_prefix);
  EXPECT_FALSE(model.remove_extra_whitespaces);
}

TEST(SentencePiece, BeginIsTheControlPieceOfThatName) {
  EXPECT_FALSE(parse(piece("<unk>", 0, 2) + piece("<s>", 0, 1) + bytes_field(2, bpe)).begin.has_value());
  const std::string named = bytes_field(2, bpe + bytes_field(46, "<begin>"));
  EXPECT_EQ(parse(piece("<s>", 0, 3) + piece("<begin>", 0, 3) + named).begin, 1);
}

TEST(SentencePiece, MergesByScore) {
  const auto tokenizer = make_sentencepiece_tokenizer(parse(small_model() + plain), "x.model");
  EXPECT_EQ(tokens_of(*tokenizer, "ab aab"), (Strings{"ab", "▁a", "ab"}));
  // "ab" (-1) before "▁a" (-2).
  EXPECT_EQ(tokens_of(*tokenizer, " ab"), (Strings{"▁", "ab"}));
  EXPECT_EQ(tokens_of(*tokenizer, "aUSERUSERbxyb"), (Strings{"a", "USER", "USER", "b", "<unk>", "b"}));
  EXPECT_EQ(tokens_of(*tokenizer, "<s>", true), (Strings{"<s>", "<unk>"}));
  EXPECT_EQ(tokens_of(*tokenizer, "", true), Strings{"<s>"});
}

TEST(SentencePiece, DummyPrefixAndExtraSpaces) {
  const auto prefix = make_sentencepiece_tokenizer(
      parse(small_model() + bytes_field(3, integer_field(3, 1) + integer_field(4, 0))), "x.model");
  EXPECT_EQ(tokens_of(*prefix, "a  b"), (Strings{"▁a", "▁", "▁", "b"}));
  EXPECT_EQ(tokens_of(*prefix, ""), Strings{});
  EXPECT_EQ(prefix->decode(prefix->encode(" a  b ", false)), " a  b ");
  const auto strip = make_sentencepiece_tokenizer(parse(small_model()), "x.model");  // the defaults
  EXPECT_EQ(tokens_of(*strip, "  a  b  "), (Strings{"▁a", "▁", "b"}));
  EXPECT_EQ(tokens_of(*strip, "   "), Strings{});
  EXPECT_EQ(strip->decode(strip->encode("  a  b ", false)), "a b");
}

TEST(SentencePiece, Decodes) {
  const auto tokenizer =
      make_sentencepiece_tokenizer(parse(small_model() + bytes_field(3, integer_field(4, 0))), "x.model");
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{1, 6, 0, 6}), "<s>a \u2047  a");
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{1, 6, 6}, true), "a a");
  EXPECT_THROW(tokenizer->decode(std::vector<TokenId>{8}), Error);
}

TEST(SentencePiece, ByteFallback) {
  std::string bytes = piece("<unk>", 0, 2) + piece("a", -1, 1);
  for (int byte = 0; byte < 256; ++byte) {
    const char* digits = "0123456789ABCDEF";
    bytes += piece(std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">", 0, 6);
  }
  bytes += bytes_field(2, bpe + integer_field(35, 1)) + plain;
  const auto tokenizer = make_sentencepiece_tokenizer(parse(bytes), "x.model");
  EXPECT_EQ(tokens_of(*tokenizer, "aé"), (Strings{"a", "<0xC3>", "<0xA9>"}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("aéa漢", false)), "aéa漢");
  // What is no UTF-8 becomes one U+FFFD a byte: C3 | 61 | E6 BC.
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{2 + 0xc3, 2 + 0x61, 2 + 0xe6, 2 + 0xbc, 1}), "\ufffda\ufffd\ufffda");
}

TEST(SentencePiece, PieceOfACharacterWithoutPiece) {
  const std::string bytes = piece("<unk>", 0, 2) + piece("a", -1, 1) + piece("ax", -2, 1) + bytes_field(2, bpe) + plain;
  const auto tokenizer = make_sentencepiece_tokenizer(parse(bytes), "x.model");
  EXPECT_EQ(tokens_of(*tokenizer, "axxa"), (Strings{"ax", "<unk>", "a"}));
}

TEST(SentencePiece, RefusesWhatItCannotDo) {
  const std::string unknown = piece("<unk>", 0, 2);
  const auto trainer = [](const std::string& spec) { return bytes_field(2, spec); };
  EXPECT_EQ(parse_error(unknown + trainer(integer_field(3, 1))),
            "x.model: a model of type Unigram; expected BPE; This SentencePiece model is not supported.");
  EXPECT_THAT(parse_error(unknown), ::testing::HasSubstr("Unigram"));  // the default
  EXPECT_THAT(parse_error(unknown + trainer(integer_field(3, 4))), ::testing::HasSubstr("Char"));
  EXPECT_THAT(
      parse_error(unknown + trainer(bpe) + bytes_field(3, bytes_field(1, "nmt_nfkc") + bytes_field(2, "table"))),
      ::testing::HasSubstr("precompiled_charsmap (the rules \"nmt_nfkc\")"));
  EXPECT_THAT(parse_error(unknown + trainer(bpe + integer_field(24, 1))),
              ::testing::HasSubstr("treat_whitespace_as_suffix"));
  EXPECT_THAT(parse_error(unknown + trainer(bpe) + bytes_field(3, integer_field(5, 0))),
              ::testing::HasSubstr("escape_whitespaces"));
  EXPECT_THAT(parse_error(unknown + piece("a", 0, 5) + trainer(bpe)), ::testing::HasSubstr("of type unused"));
  EXPECT_THAT(parse_error(unknown + trainer(bpe + integer_field(35, 1))),
              ::testing::HasSubstr("byte_fallback without the piece <0x00>"));
  EXPECT_THAT(parse_error(piece("a", 0, 1) + trainer(bpe)), ::testing::HasSubstr("no piece of type unknown"));
  EXPECT_THAT(parse_error(unknown + piece("a", 0, 1) + piece("a", 0, 1) + trainer(bpe)),
              ::testing::HasSubstr("the token \"a\" twice"));
  EXPECT_THAT(parse_error(unknown + piece("a\xff", 0, 1)), ::testing::HasSubstr("not valid UTF-8"));
  EXPECT_THAT(parse_error(unknown + piece("", 0, 1)), ::testing::HasSubstr("an empty piece"));
  EXPECT_THAT(parse_error(unknown + piece("a", 0, 7)), ::testing::HasSubstr("a piece of type 7"));
  EXPECT_THAT(parse_error(unknown + piece("a", std::nanf(""), 1)), ::testing::HasSubstr("the score NaN"));
}

TEST(SentencePiece, DamagedBytes) {
  EXPECT_THAT(parse_error(""), ::testing::HasSubstr("no pieces"));
  EXPECT_THAT(parse_error("\x0a\x05"), ::testing::HasSubstr("a field of 5 bytes"));
  EXPECT_THAT(parse_error("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
              ::testing::HasSubstr("a field of 18446744073709551615 bytes"));
  EXPECT_THAT(parse_error("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
              ::testing::HasSubstr("a number of more than 64 bits"));
  EXPECT_THAT(parse_error("\x0a"), ::testing::HasSubstr("the end within a number"));
  EXPECT_THAT(parse_error("\x0b"), ::testing::HasSubstr("the wire type 3"));
  EXPECT_THAT(parse_error(std::string(1, '\0')), ::testing::HasSubstr("the field number 0"));
  EXPECT_THAT(parse_error(integer_field(1, 3)), ::testing::HasSubstr("field 1 of wire type 0 instead of 2"));
}

RC_GTEST_PROP(SentencePiece, AnyDamageIsAnError, ()) {
  std::string bytes = small_model() + plain;
  for (int count = *rc::gen::inRange(1, 4); count > 0; --count) {
    bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
  }
  bytes.resize(*rc::gen::inRange<std::size_t>(0, bytes.size() + 1));
  try {
    const auto tokenizer = make_sentencepiece_tokenizer(parse(bytes), "x.model");
    tokenizer->decode(tokenizer->encode("ab aUSER é", true));
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace lcomp
