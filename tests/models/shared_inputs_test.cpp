// Which linear layers share an input, family by family, and that scalable inputs say the same.
#include "lcomp/models/shared_inputs.h"

#include <gtest/gtest.h>

#include "lcomp/models/model_folder.h"
#include "lcomp/models/scalable_inputs.h"
#include "support/golden_model.h"

namespace lcomp {
namespace {

using testing::golden;

std::vector<std::size_t> stages(const std::vector<SharedInput>& inputs) {
  std::vector<std::size_t> stages;
  for (const SharedInput& input : inputs) stages.push_back(input.stage);
  return stages;
}

TEST(SharedInputs, OfAGatedMlp) {
  LCOMP_REQUIRE(golden("families/llama2"));
  const ModelFolder model = open_model(golden("families/llama2"));
  const BlockSlices& block = model.slices.blocks[1];
  const std::vector<SharedInput> inputs = shared_inputs(model.config, block);
  ASSERT_EQ(stages(inputs), (std::vector<std::size_t>{0, 1, 2, 3}));
  EXPECT_EQ(inputs[0].readers, (std::vector<const LinearSlices*>{&block.query, &block.key, &block.value}));
  EXPECT_EQ(inputs[0].norm, &block.input_norm);
  EXPECT_EQ(inputs[1].readers, std::vector<const LinearSlices*>{&block.output});
  EXPECT_EQ(inputs[1].source, &block.value);
  EXPECT_EQ(inputs[2].readers, (std::vector<const LinearSlices*>{&block.mlp.gate, &block.mlp.up}));
  EXPECT_EQ(inputs[2].norm, &block.pre_mlp_norm);
  EXPECT_EQ(inputs[3].readers, std::vector<const LinearSlices*>{&block.mlp.down});
  EXPECT_EQ(inputs[3].source, &block.mlp.up);
}

// One norm before both halves, and an MLP whose down projection has an input that nothing scales.
TEST(SharedInputs, OfAParallelBlockWithoutGate) {
  LCOMP_REQUIRE(golden("families/phi"));
  const ModelFolder model = open_model(golden("families/phi"));
  const BlockSlices& block = model.slices.blocks[0];
  const std::vector<SharedInput> inputs = shared_inputs(model.config, block);
  ASSERT_EQ(stages(inputs), (std::vector<std::size_t>{0, 1, 2, 3}));
  EXPECT_EQ(inputs[2].readers, std::vector<const LinearSlices*>{&block.mlp.up});
  EXPECT_EQ(inputs[2].norm, &block.input_norm);
  EXPECT_EQ(inputs[3].norm, nullptr);
  EXPECT_EQ(inputs[3].source, nullptr);
  const std::vector<ScalableInput> scalable = scalable_inputs(model);
  EXPECT_EQ(scalable.size(), 2 * model.config.num_layers() + 1);  // the norm, the attention output; the head
  EXPECT_EQ(scalable[0].readers.size(), 4U);
}

TEST(SharedInputs, OfAMixtureOfExperts) {
  LCOMP_REQUIRE(golden("families/mixtral"));
  const ModelFolder model = open_model(golden("families/mixtral"));
  const BlockSlices& block = model.slices.blocks[0];
  const std::size_t experts = model.config.num_experts;
  const std::vector<SharedInput> inputs = shared_inputs(model.config, block);
  ASSERT_EQ(inputs.size(), 3 + 2 * experts);
  EXPECT_EQ(inputs[2].readers, std::vector<const LinearSlices*>{&block.router});
  for (std::size_t e = 0; e < experts; ++e) {
    EXPECT_EQ(inputs[3 + e].readers, (std::vector<const LinearSlices*>{&block.experts[e].gate, &block.experts[e].up}));
    EXPECT_EQ(inputs[3 + e].norm, &block.pre_mlp_norm);
    EXPECT_EQ(inputs[3 + experts + e].source, &block.experts[e].up);
  }
  // Scaled together: all that reads the norm.
  EXPECT_EQ(scalable_inputs(model)[1].readers.size(), 1 + 2 * experts);
}

}  // namespace
}  // namespace lcomp
