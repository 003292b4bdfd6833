// The real model, SmolLM2-135M in float16, against values made with torch and transformers (golden/smollm2). Tolerance:
// 1e-4 of the largest logit, ten times what float32 engines differ by; the smallest decision margins in the reference
// are 4e-3.
#include <gtest/gtest.h>

#include "lcomp/forward/decoder.h"
#include "lcomp/models/model_folder.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::golden;
using testing::smollm2;

TEST(SlowSmolLM2, LogitsAndHiddenStatesMatchTheReference) {
  LCOMP_REQUIRE(smollm2() / "config.json");
  LCOMP_REQUIRE(golden("smollm2/logits32.safetensors"));
  const SafetensorsFile io(golden("smollm2/logits32.safetensors"));
  Decoder decoder(open_model(smollm2()));
  EXPECT_EQ(decoder.model().parameters(), 134515008u);
  EXPECT_EQ(decoder.model().stored_bytes(), 2 * 134515008u);
  TokenBatch batch;
  batch.add(testing::read_ids(io, "ids"));

  testing::HiddenRecorder recorder;
  ForwardOptions options;
  options.visitor = &recorder;
  const Matrix normed = decoder.forward(batch, options);
  const auto expect_close = [&](const Matrix& found, const std::string& name) {
    EXPECT_LT(testing::relative_difference(found.view(), testing::read_matrix(io, name, found.cols()).view()), 1e-4)
        << name;
  };
  ASSERT_EQ(recorder.states.size(), 31u);
  expect_close(recorder.states[0], "hidden_embed");
  expect_close(recorder.states[1], "hidden_after_layer0");
  expect_close(recorder.states[15], "hidden_after_layer14");
  expect_close(normed, "hidden_after_norm");
  Matrix logits(batch.tokens(), decoder.config().vocab_size);
  decoder.logits(normed.view(), logits.view());
  expect_close(logits, "logits");
}

TEST(SlowSmolLM2, Top20LogitsMatchTheReferenceInOneBatch) {
  LCOMP_REQUIRE(smollm2() / "config.json");
  LCOMP_REQUIRE(golden("smollm2/top20.safetensors"));
  const SafetensorsFile io(golden("smollm2/top20.safetensors"));
  const std::vector<std::string> texts = {"c4-valid-0", "c4-valid-1", "chat-code", "wikitext2-test-start"};
  TokenBatch batch;
  for (const std::string& text : texts) batch.add(testing::read_ids(io, text + ".ids"));
  Decoder decoder(open_model(smollm2()));
  const Matrix normed = decoder.forward(batch);
  Matrix logits(batch.tokens(), decoder.config().vocab_size);
  decoder.logits(normed.view(), logits.view());
  for (std::size_t s = 0; s < texts.size(); ++s) {
    const std::vector<std::int32_t> ids = testing::read_ids(io, texts[s] + ".top20_ids");
    const Matrix expected = testing::read_matrix(io, texts[s] + ".top20_logits", 20);
    for (std::size_t t = 0; t < expected.rows(); ++t) {
      for (std::size_t k = 0; k < 20; ++k) {
        const auto id = static_cast<std::size_t>(ids[t * 20 + k]);
        ASSERT_NEAR(logits(batch.offsets[s] + t, id), expected(t, k), 1e-3)
            << texts[s] << ", position " << t << ", token " << id;
      }
    }
  }
}

}  // namespace
}  // namespace lcomp
