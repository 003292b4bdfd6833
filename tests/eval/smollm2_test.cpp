#include <gtest/gtest.h>

#include "lcomp/eval/text_scores.h"
#include "lcomp/io/config_reader.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::data;
using testing::golden;
using testing::smollm2;

// The first windows of the stored protocols; PyTorch's float32 NLL of a window of 511 tokens is reproduced to about
// 1e-5.
TEST(SlowSmollm2Perplexity, MatchesStoredWindows) {
  LCOMP_REQUIRE(smollm2());
  LCOMP_REQUIRE(golden("smollm2/reference.json"));
  LCOMP_REQUIRE(data("wikitext2/wiki.test.raw"));
  const auto reference = parse_json_file(golden("smollm2/reference.json"));
  const auto tokenizer = load_tokenizer(smollm2());
  Decoder decoder(open_model(smollm2()));
  const auto check = [&](TextProtocol protocol, const nlohmann::json& expected) {
    const ScoringBatch batch = make_scoring_batch(protocol, *tokenizer, data("").string());
    const TextScores scores = score_texts(decoder, batch, {}, {});
    ASSERT_EQ(scores.perplexity.sequence_nll.size(), *protocol.sequences);
    for (std::size_t s = 0; s < *protocol.sequences; ++s) {
      EXPECT_NEAR(scores.perplexity.sequence_nll[s], expected.at(s).get<double>(), 5e-5)
          << batch.description << " " << s;
    }
  };
  TextProtocol wikitext;
  wikitext.sequences = 4;
  check(wikitext, reference.at("wikitext2_window512").at("nll_per_window"));
  TextProtocol c4;
  c4.kind = TextProtocol::Kind::c4;
  c4.window = 1024;
  c4.first_scored = 512;
  c4.sequences = 2;
  check(c4, reference.at("c4_picollm").at("nll_per_text"));
}

}  // namespace
}  // namespace lcomp
