#include "lcomp/compression/compression_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

const Json rtn4 = {{"method", "rtn"}, {"bits", 4}};
const Json open_rtn = {{"method", "rtn"}, {"group_size", 32}};

const std::vector<ModelComponent> some_components = {
    {"model.embed_tokens", "model.embed_tokens.weight", ComponentKind::embedding, 100, 48},
    {"model.layers.0.mlp.gate_proj", "", ComponentKind::linear, 64, 48},
    {"model.layers.0.mlp.down_proj", "", ComponentKind::linear, 48, 64},
    {"model.layers.0.block_sparse_moe.gate", "", ComponentKind::router, 6, 48},
    {"model.layers.1.mlp.down_proj", "", ComponentKind::linear, 48, 64},
    {"lm_head", "lm_head.weight", ComponentKind::head, 100, 48},
};

std::string refusal(const Json& json) {
  try {
    resolve_plan(CompressionPlan::from_json(json, "plan.json"), some_components);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(PatternTest, Matches) {
  EXPECT_TRUE(matches_pattern("", ""));
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_TRUE(matches_pattern("*", "model.layers.0"));
  EXPECT_TRUE(matches_pattern("lm_head", "lm_head"));
  EXPECT_TRUE(matches_pattern("*.down_proj", "model.layers.0.mlp.down_proj"));
  EXPECT_TRUE(matches_pattern("model.layers.?.mlp.*", "model.layers.7.mlp.up_proj"));
  EXPECT_TRUE(matches_pattern("*aab", "aaaab"));
  EXPECT_TRUE(matches_pattern("a*b*c", "a-b-b-c-c"));
  EXPECT_TRUE(matches_pattern("**", "x"));
  EXPECT_FALSE(matches_pattern("", "x"));
  EXPECT_FALSE(matches_pattern("?", ""));
  EXPECT_FALSE(matches_pattern("lm_head", "lm_head2"));
  EXPECT_FALSE(matches_pattern("*.down_proj", "model.layers.0.mlp.down_proj.x"));
  EXPECT_FALSE(matches_pattern("model.layers.?.mlp.*", "model.layers.17.mlp.up_proj"));
  EXPECT_FALSE(matches_pattern("a*b", "a-b-"));
  EXPECT_TRUE(matches_pattern("*", "*"));
  EXPECT_FALSE(matches_pattern("*x", "*y"));
}

TEST(CompressionPlanTest, TargetsAsTheyAreDefined) {
  // 1000 parameters: ratio 5 is 2000 / 5 bytes; 3.2 bits a weight are the same; so is any number of bytes.
  EXPECT_EQ((CompressionTarget{CompressionTarget::Kind::ratio, 5}).budget(1000), 400u);
  EXPECT_EQ((CompressionTarget{CompressionTarget::Kind::bits_per_weight, 3.2}).budget(1000), 400u);
  EXPECT_EQ((CompressionTarget{CompressionTarget::Kind::bytes, 400}).budget(1000), 400u);
  EXPECT_EQ((CompressionTarget{CompressionTarget::Kind::ratio, 3}).budget(1000), 666u);
}

TEST(CompressionPlanTest, SurvivesItsJson) {
  const Json json = {
      {"quantizer", open_rtn},
      {"components", {{"*.down_proj", {{"bits", 5}}}, {"lm_head", {{"method", "dense"}, {"type", "f16"}}}}},
      {"target", {{"ratio", 5.0}}},
      {"allocator", "fixed"}};
  EXPECT_EQ(to_json(CompressionPlan::from_json(json, "plan.json")), json);
  const Json small = {{"quantizer", rtn4}};
  EXPECT_EQ(to_json(CompressionPlan::from_json(small, "plan.json")), small);
}

TEST(CompressionPlanTest, TheMostSpecificPatternDecides) {
  const Json json = {{"quantizer", rtn4},
                     {"components",
                      {{"*.down_proj", {{"bits", 5}}},
                       {"model.layers.1.*", {{"bits", 6}, {"symmetric", true}}},
                       {"model.layers.0.block_sparse_moe.gate", {{"bits", 8}}},
                       {"lm_head", "bf16"},
                       {"model.embed*", {{"method", "rtn"}, {"bits", 3}, {"group_size", 16}}}}}};
  const auto settings = resolve_plan(CompressionPlan::from_json(json, "plan.json"), some_components);
  EXPECT_EQ(settings[0].setting, Json({{"method", "rtn"}, {"bits", 3}, {"group_size", 16}}));
  EXPECT_EQ(settings[1].setting, rtn4);
  EXPECT_EQ(settings[2].setting, Json({{"method", "rtn"}, {"bits", 5}}));
  EXPECT_EQ(settings[3].setting, Json({{"method", "rtn"}, {"bits", 8}}));
  EXPECT_EQ(settings[4].setting, Json({{"method", "rtn"}, {"bits", 6}, {"symmetric", true}}));
  EXPECT_EQ(settings[5].setting, Json({{"method", "dense"}, {"type", "bf16"}}));
  for (const auto& setting : settings) EXPECT_FALSE(setting.open);
}

TEST(CompressionPlanTest, RoutersStayAsTheyAreUnlessNamed) {
  const auto settings = resolve_plan(CompressionPlan::from_json({{"quantizer", rtn4}}, "plan.json"), some_components);
  EXPECT_TRUE(settings[3].setting.is_null());
  EXPECT_FALSE(settings[3].open);
}

TEST(CompressionPlanTest, WidthsAreOpenWhereBitsAreMissing) {
  const Json json = {{"quantizer", open_rtn},
                     {"components", {{"*.gate_proj", {{"bits", 5}}}, {"lm_head", "f16"}}},
                     {"target", {{"bits_per_weight", 4}}}};
  const auto settings = resolve_plan(CompressionPlan::from_json(json, "plan.json"), some_components);
  EXPECT_EQ(settings[0].open, OpenSize::width);
  EXPECT_FALSE(settings[1].open);
  EXPECT_EQ(settings[2].open, OpenSize::width);
  EXPECT_FALSE(settings[3].open);
  EXPECT_FALSE(settings[5].open);
}

TEST(CompressionPlanTest, RefusesWhatItCannotRead) {
  EXPECT_THAT(refusal({{"quantizer", {{"method", "magic"}}}}),
              AllOf(HasSubstr("plan.json"), HasSubstr("quantizer"), HasSubstr("rtn")));
  EXPECT_THAT(refusal({{"quantizer", open_rtn}}), AllOf(HasSubstr("bits"), HasSubstr("target")));
  EXPECT_THAT(refusal(Json::object()), HasSubstr("quantizer"));
  EXPECT_THAT(refusal({{"quantizer", rtn4}, {"surprise", 1}}), HasSubstr("surprise"));
  EXPECT_THAT(refusal({{"quantizer", open_rtn}, {"target", {{"ratio", 5}, {"bytes", 3}}}}), HasSubstr("exactly one"));
  EXPECT_THAT(refusal({{"quantizer", open_rtn}, {"target", Json::object()}}), HasSubstr("exactly one"));
  EXPECT_THAT(refusal({{"quantizer", open_rtn}, {"target", {{"ratio", -1}}}}), HasSubstr("ratio"));
  EXPECT_THAT(refusal({{"quantizer", open_rtn}, {"target", {{"ratio", 5}}}, {"allocator", "best"}}),
              HasSubstr("fixed"));
  EXPECT_THAT(refusal({{"quantizer", rtn4}, {"components", {{"lm_head", {{"bits", 77}}}}}}),
              AllOf(HasSubstr("lm_head"), HasSubstr("bits")));
  EXPECT_THAT(refusal({{"quantizer", rtn4}, {"components", {{"lm_head", 5}}}}), HasSubstr("lm_head"));
  EXPECT_THAT(refusal({{"quantizer", "rtn:bits=4,group=64;asym"}}), HasSubstr("plan.json: quantizer"));
  EXPECT_THAT(refusal({{"quantizer", "rtn"}}), AllOf(HasSubstr("bits"), HasSubstr("target")));
  EXPECT_EQ(refusal({{"quantizer", "rtn:bits=4"}, {"components", {{"lm_head", {{"bits", 5}}}}}}), "accepted");
  EXPECT_EQ(refusal({{"quantizer", "rtn:bits=4"}, {"components", {{"lm_head", "rtn:bits=5"}}}}), "accepted");
  EXPECT_EQ(refusal({{"quantizer", "rtn"}, {"target", {{"ratio", 5}}}}), "accepted");
}

TEST(CompressionPlanTest, APatternWithoutAComponentIsAnsweredWithNames) {
  EXPECT_THAT(refusal({{"quantizer", rtn4}, {"components", {{"*.dwon_proj", {{"bits", 5}}}}}}),
              AllOf(HasSubstr("*.dwon_proj"), HasSubstr("model.layers.0.mlp.down_proj"), HasSubstr("lm_head")));
}

TEST(CompressionPlanTest, TwoPatternsThatAreEquallySpecificAreRefused) {
  EXPECT_THAT(refusal({{"quantizer", rtn4}, {"components", {{"lm_*", {{"bits", 5}}}, {"*ead", {{"bits", 6}}}}}}),
              AllOf(HasSubstr("lm_*"), HasSubstr("*ead"), HasSubstr("lm_head")));
  // They don't disturb each other where a more specific one decides.
  EXPECT_EQ(refusal({{"quantizer", rtn4},
                     {"components", {{"lm_*", {{"bits", 5}}}, {"*ead", {{"bits", 6}}}, {"lm_head", {{"bits", 2}}}}}}),
            "accepted");
}

}  // namespace
}  // namespace lcomp
