#include "lcomp/quantizers/quantizer_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

std::string name_of(const nlohmann::json& setting) { return make_quantizer(setting, "test")->name(); }

std::string refusal(const nlohmann::json& setting) {
  try {
    make_quantizer(setting, "config.json: quantizer");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(QuantizerTableTest, ReadsSettings) {
  EXPECT_EQ(name_of({{"method", "rtn"}, {"bits", 4}}), "rtn-asym-b4-g64");
  EXPECT_EQ(name_of({{"method", "rtn"},
                     {"bits", 3},
                     {"symmetric", true},
                     {"group_size", "channel"},
                     {"grid", "mse"},
                     {"scales", "u8"}}),
            "rtn-sym-b3-channel-mse-u8");
  EXPECT_EQ(name_of({{"method", "rtn"}, {"bits", 2}, {"group_size", "tensor"}, {"scales", "f32"}}),
            "rtn-asym-b2-tensor-f32");
  EXPECT_EQ(name_of({{"method", "rtn"}, {"bits", 16}, {"group_size", 32}}), "f16");
  EXPECT_EQ(name_of({{"method", "dense"}, {"type", "bf16"}}), "bf16");
  EXPECT_EQ(name_of("rtn-asym-b4-g32"), "rtn-asym-b4-g32");
  EXPECT_EQ(name_of({{"method", "gptq"}, {"bits", 4}}), "gptq-asym-b4-g64");
  EXPECT_EQ(name_of({{"method", "gptq"}, {"bits", 16}, {"act_order", true}}), "f16");
  EXPECT_EQ(name_of({{"method", "gptq"},
                     {"bits", 3},
                     {"symmetric", true},
                     {"group_size", 128},
                     {"grid", "mse"},
                     {"scales", "f32"},
                     {"act_order", true},
                     {"static_groups", true},
                     {"damping", 0.05},
                     {"block_size", 64}}),
            "gptq-sym-b3-g128-mse-f32-act-static-d0.05-block64");
}

TEST(QuantizerTableTest, RefusesWithWhatItKnows) {
  EXPECT_THAT(refusal({{"method", "magic"}}),
              ::testing::AllOf(HasSubstr("dense"), HasSubstr("rtn"), HasSubstr("quantizer.method")));
  EXPECT_THAT(refusal({{"method", "rtn"}}), HasSubstr("bits"));
  EXPECT_THAT(refusal({{"method", "rtn"}, {"bits", 9}}), HasSubstr("bits"));
  EXPECT_THAT(refusal({{"method", "rtn"}, {"bits", 0}}), HasSubstr("bits"));
  EXPECT_THAT(refusal({{"method", "rtn"}, {"bits", 4.5}}), HasSubstr("bits"));
  EXPECT_THAT(refusal({{"method", "rtn"}, {"bits", 4}, {"group_size", 0}}), HasSubstr("group_size"));
  EXPECT_THAT(refusal({{"method", "rtn"}, {"bits", 4}, {"group_size", "row"}}), HasSubstr("channel"));
  EXPECT_THAT(refusal({{"method", "rtn"}, {"bits", 4}, {"group_sise", 4}}), HasSubstr("group_sise"));
  EXPECT_THAT(refusal({{"method", "dense"}, {"type", "f16"}, {"bits", 4}}), HasSubstr("bits"));
  EXPECT_THAT(refusal({{"method", "rtn"}, {"bits", 4}, {"act_order", true}}), HasSubstr("act_order"));
  EXPECT_THAT(refusal({{"method", "gptq"}, {"bits", 4}, {"group_size", "tensor"}}), HasSubstr("quantizer.group_size"));
  EXPECT_THAT(refusal({{"method", "gptq"}, {"bits", 4}, {"damping", 1.5}}), HasSubstr("quantizer.damping"));
  EXPECT_THAT(refusal({{"method", "gptq"}, {"bits", 4}, {"damping", -0.1}}), HasSubstr("quantizer.damping"));
  EXPECT_THAT(refusal({{"method", "gptq"}, {"bits", 4}, {"block_size", 0}}), HasSubstr("quantizer.block_size"));
  EXPECT_THAT(refusal({{"method", "gptq"}, {"bits", 4}, {"act_order", 1}}), HasSubstr("quantizer.act_order"));
  EXPECT_THAT(refusal(4), HasSubstr("config.json: quantizer"));
}

TEST(QuantizerTableTest, RefusesNamesThatItCannotRead) {
  for (const char* name : {"",
                           "rtn",
                           "rtn-asym",
                           "rtn-asym-b4",
                           "rtn-asym-b4-",
                           "rtn-both-b4-g64",
                           "rtn-asym-b9-g64",
                           "rtn-asym-4-g64",
                           "rtn-asym-b4-g0",
                           "rtn-asym-b4-g64-fast",
                           "rtn-asym-b4-g64-u8-mse",
                           "rtn-asym-b4-g64-mse-u8-x",
                           "rtn-asym-b4x-g64",
                           "rtn-asym-b4-g64-act",
                           "gptq-asym-b4-tensor",
                           "gptq-asym-b4-g64-static-act",
                           "gptq-asym-b4-g64-d",
                           "gptq-asym-b4-g64-d2",
                           "gptq-asym-b4-g64-block0",
                           "f15"}) {
    const std::string message = refusal(name);
    EXPECT_THAT(message, HasSubstr("config.json: quantizer")) << name;
    EXPECT_THAT(message, HasSubstr("rtn-asym-b4-g64")) << name;
  }
  EXPECT_THROW(make_quantizer_from_name("nothing"), Error);
}

TEST(QuantizerTableTest, KnowsWhichMethodsHaveAWidth) {
  EXPECT_TRUE(has_bits({{"method", "rtn"}}, "test"));
  EXPECT_TRUE(has_bits({{"method", "gptq"}}, "test"));
  EXPECT_FALSE(has_bits({{"method", "dense"}, {"type", "f16"}}, "test"));
  EXPECT_FALSE(has_bits("rtn-asym-b4-g64", "test"));
  EXPECT_THROW(has_bits({{"method", "magic"}}, "test"), Error);
}

}  // namespace
}  // namespace lcomp
