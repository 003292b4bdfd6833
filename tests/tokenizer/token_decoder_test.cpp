#include "tokenizer/token_decoder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lcomp {
namespace {

using Strings = std::vector<std::string>;

TEST(TokenDecoder, WithoutStepsSpacesStandBetween) {
  EXPECT_EQ(decode_tokens({}, {"a", "b"}), "a b");
  EXPECT_EQ(decode_tokens({}, {}), "");
}

TEST(TokenDecoder, ByteLevel) {
  const std::vector<DecoderStep> steps = {ByteLevelDecoderStep{}};
  EXPECT_EQ(decode_tokens(steps, {"Hello", "Ġw", "Ã", "©"}), "Hello wé");
  EXPECT_EQ(decode_tokens(steps, {"a", "Ã", "b"}), "a\ufffdb");  // half a character
  EXPECT_EQ(decode_tokens(steps, {"<日本>", "Ġ"}), "<日本> ");   // an added token, not of the alphabet
}

TEST(TokenDecoder, ByteFallback) {
  const std::vector<DecoderStep> steps = {ByteFallbackDecoderStep{}};
  EXPECT_EQ(decode_tokens(steps, {"a", "<0xC3>", "<0xA9>", "b", "<0x0A>"}), "aéb\n");
  EXPECT_EQ(decode_tokens(steps, {"<0x61>", "<0xC3>", "b"}),
            "\ufffd\ufffdb");  // the whole run, as soon as it is no UTF-8
}

TEST(TokenDecoder, ReplaceStripAndFuse) {
  const std::vector<DecoderStep> llama = {ReplaceDecoderStep{TextPattern::literal("▁"), " "}, ByteFallbackDecoderStep{},
                                          FuseDecoderStep{}, StripDecoderStep{U' ', 1, 0}};
  EXPECT_EQ(decode_tokens(llama, {"▁Hey", "▁", "▁you"}), "Hey  you");
  EXPECT_EQ(decode_tokens({StripDecoderStep{U'a', 2, 1}}, {"aaaba", "a", "", "xa"}), "abx");
}

TEST(TokenDecoder, Metaspace) {
  EXPECT_EQ(decode_tokens({MetaspaceDecoderStep{"▁", true}}, {"▁Hey▁", "▁you"}), "Hey you");
  EXPECT_EQ(decode_tokens({MetaspaceDecoderStep{"▁", false}}, {"▁Hey", "▁you"}), " Hey you");
}

}  // namespace
}  // namespace lcomp
