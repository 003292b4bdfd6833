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
  EXPECT_EQ(name_of({{"method", "rtn"}, {"bits", 4}}), "rtn:bits=4,group=64,asym");
  EXPECT_EQ(name_of({{"method", "rtn"},
                     {"bits", 3},
                     {"symmetric", true},
                     {"group_size", "channel"},
                     {"grid", "mse"},
                     {"scales", "u8"}}),
            "rtn:bits=3,group=channel,sym,grid=mse,scales=u8");
  EXPECT_EQ(name_of({{"method", "rtn"}, {"bits", 2}, {"group_size", "tensor"}, {"scales", "f32"}}),
            "rtn:bits=2,group=tensor,asym,scales=f32");
  EXPECT_EQ(name_of({{"method", "rtn"}, {"bits", 16}, {"group_size", 32}}), "f16");
  EXPECT_EQ(name_of({{"method", "dense"}, {"type", "bf16"}}), "bf16");
  EXPECT_EQ(name_of("rtn:bits=4,group=32,asym"), "rtn:bits=4,group=32,asym");
  EXPECT_EQ(name_of({{"method", "gptq"}, {"bits", 4}}), "gptq:bits=4,group=64,asym");
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
            "gptq:bits=3,group=128,sym,grid=mse,scales=f32,act_order,static_groups,damping=0.05,block_size=64");
}

TEST(QuantizerTableTest, ReadsSettingsOfTables) {
  EXPECT_EQ(name_of({{"method", "log"}, {"bits", 4}}), "log:bits=4,group=64,base=2");
  EXPECT_EQ(name_of("log:bits=3,base=sqrt2,zero,group=channel"), "log:bits=3,group=channel,base=sqrt2,zero");
  EXPECT_EQ(name_of("log:bits=3,base=1.25,scales=u8,feedback,act_order,damping=0.05,block_size=64"),
            "log:bits=3,group=64,base=1.25,scales=u8,feedback,act_order,damping=0.05,block_size=64");
  EXPECT_EQ(name_of("log:bits=16"), "f16");
  EXPECT_EQ(name_of("nf:bits=4"), "nf:bits=4,group=64");
  EXPECT_EQ(name_of("nf:bits=3,grid=mse,group=32,feedback,static_groups"),
            "nf:bits=3,group=32,grid=mse,feedback,static_groups");
  EXPECT_EQ(name_of("codebook:bits=3"), "codebook:bits=3,group=channel");
  EXPECT_EQ(name_of({{"method", "codebook"}, {"bits", 2}, {"group_size", 128}, {"fit", "lloyd"}}),
            "codebook:bits=2,group=128,fit=lloyd");
  EXPECT_EQ(name_of("lnq:bits=3"), "lnq:bits=3");
  EXPECT_EQ(name_of("lnq:bits=3,alternations=8,cycles=1,act_order=false,damping=0.1"),
            "lnq:bits=3,alternations=8,cycles=1,act_order=false,damping=0.1");
}

TEST(QuantizerTableTest, RefusesSettingsOfTables) {
  EXPECT_THAT(refusal("log:bits=4,base=1"), HasSubstr("base"));
  EXPECT_THAT(refusal("log:bits=4,base=5"), HasSubstr("base"));
  EXPECT_THAT(refusal("log:bits=4,base=e"), ::testing::AllOf(HasSubstr("base"), HasSubstr("sqrt2"), HasSubstr("fit")));
  EXPECT_THAT(refusal("log:bits=4,base=1.00000000001"), HasSubstr("base"));  // 1 in float32
  EXPECT_THAT(refusal("log:bits=9"), HasSubstr("bits"));
  EXPECT_THAT(refusal("nf:bits=4,group=tensor"), HasSubstr("group_size"));
  EXPECT_THAT(refusal("nf:bits=4,sym"), HasSubstr("symmetric"));
  EXPECT_THAT(refusal("nf:bits=4,grid=minmax"), HasSubstr("absmax"));
  EXPECT_THAT(refusal("nf:bits=4,act_order"), HasSubstr("feedback"));
  EXPECT_THAT(refusal("codebook:bits=4,scales=u8"), HasSubstr("scales"));
  EXPECT_THAT(refusal("codebook:bits=4,fit=best"), HasSubstr("lloyd"));
  EXPECT_THAT(refusal("codebook:bits=4,feedback,damping=2"), HasSubstr("damping"));
  EXPECT_THAT(refusal("lnq:bits=4,group=64"), HasSubstr("group_size"));
  EXPECT_THAT(refusal("lnq:bits=4,alternations=-1"), HasSubstr("alternations"));
  EXPECT_THAT(refusal("lnq:bits=4,feedback"), HasSubstr("feedback"));
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
  EXPECT_THAT(refusal("rtn:bits=4,sym,grid=hqq"), HasSubstr("config.json: quantizer"));
  EXPECT_THAT(refusal("rtn:bits=4,sym,zeros=f16"), HasSubstr("f16 zero points"));
  EXPECT_THAT(refusal("gptq:bits=4,zeros=u8"), HasSubstr("zeros"));
  EXPECT_THAT(refusal(4), HasSubstr("config.json: quantizer"));
}

TEST(QuantizerTableTest, ReadsMethodStrings) {
  EXPECT_EQ(name_of("rtn:bits=4"), "rtn:bits=4,group=64,asym");
  EXPECT_EQ(name_of("rtn:symmetric=true,group_size=32,bits=3"), "rtn:bits=3,group=32,sym");
  EXPECT_EQ(name_of("rtn:bits=2,sym=true,group=channel"), "rtn:bits=2,group=channel,sym");
  EXPECT_EQ(name_of("gptq:bits=3,group=64,act_order"), "gptq:bits=3,group=64,asym,act_order");
  EXPECT_EQ(name_of("gptq:bits=3,damping=1,act_order=false"), "gptq:bits=3,group=64,asym,damping=1");
  EXPECT_EQ(name_of("gptq:bits=3,damping=1e-05"), "gptq:bits=3,group=64,asym,damping=1e-05");
  for (const char* type : {"f16", "bf16", "f32"}) EXPECT_EQ(name_of(type), type);
  EXPECT_EQ(name_of("dense:type=bf16"), "bf16");
  EXPECT_EQ(setting_object("rtn:group=8,asym", "test"),
            nlohmann::json({{"method", "rtn"}, {"group_size", 8}, {"symmetric", false}}));
  EXPECT_EQ(setting_object("rotate:block=64+scale+rtn", "test"),
            nlohmann::json({{"method", "rtn"},
                            {"transforms", {{{"transform", "rotate"}, {"block", 64}}, {{"transform", "scale"}}}}}));
}

TEST(QuantizerTableTest, RefusesMethodStringsThatItCannotRead) {
  for (const char* text : {"",
                           ":bits=4",
                           "rtn",
                           "rtn:",
                           "rtn:bits",
                           "rtn:bits=",
                           "rtn:=4",
                           "rtn:bits=4,",
                           "rtn:bits=4,,sym",
                           "rtn:bits=9",
                           "rtn:bits=4.5",
                           "rtn:bits=4,bits=4",
                           "rtn:bits=4,sym,asym",
                           "rtn:bits=4,sym=3",
                           "rtn:bits=4,group",
                           "rtn:bits=4,group=0",
                           "rtn:bits=4,group=64,group_size=64",
                           "rtn:bits=4,act_order",
                           "rtn:bits=4;group=64",
                           "gptq:bits=4,group=tensor",
                           "gptq:bits=4,damping=2",
                           "gptq:bits=4,block_size=0",
                           "+rtn:bits=4",
                           "rtn:bits=4+",
                           "f15",
                           "f16:bits=4"}) {
    EXPECT_THAT(refusal(text), HasSubstr("config.json: quantizer")) << text;
  }
  EXPECT_THAT(refusal("rtn:bits=4,grup=64"), ::testing::AllOf(HasSubstr("grup"), HasSubstr("group_size")));
  EXPECT_THAT(refusal("rtn:bits=4,,sym"), HasSubstr("rtn:bits=4,group=64"));
}

TEST(QuantizerTableTest, SizesMayBeOpen) {
  for (const char* text : {"rtn:group=64,asym", "gptq:group=64,asym,act_order", "log:group=64,base=2", "nf:group=64",
                           "codebook:group=channel", "lnq", "rotate+rtn:group=64,asym"}) {
    const QuantizerSetting setting = parse_quantizer_setting(text, "test");
    EXPECT_TRUE(is_open(setting)) << text;
    EXPECT_TRUE(has_bit_width(setting)) << text;
    EXPECT_EQ(name(setting), text);
    EXPECT_THAT(refusal(text), HasSubstr("bits")) << text;
    EXPECT_THROW(make_quantizer(setting), Error) << text;
    EXPECT_FALSE(is_open(with_bits(setting, 3))) << text;
    EXPECT_THAT(make_quantizer(with_bits(setting, 3))->name(), HasSubstr("bits=3"));
    EXPECT_EQ(make_quantizer(with_bits(setting, 16))->name(), "f16");
  }
  for (const char* text : {"rate", "banded:asym"}) {
    const QuantizerSetting setting = parse_quantizer_setting(text, "test");
    EXPECT_TRUE(is_open(setting)) << text;
    EXPECT_FALSE(has_bit_width(setting)) << text;
    EXPECT_EQ(name(setting), text);
    EXPECT_FALSE(is_open(with_bits(setting, 3))) << text;
  }
  for (const char* text : {"f16", "rate:precision=9", "rate:bits=3.2", "banded:bits=2,asym"}) {
    EXPECT_FALSE(is_open(parse_quantizer_setting(text, "test"))) << text;
    EXPECT_FALSE(has_bit_width(parse_quantizer_setting(text, "test"))) << text;
  }
  EXPECT_FALSE(is_open(parse_quantizer_setting("rtn:bits=4,group=64", "test")));
  EXPECT_THROW(parse_quantizer_setting({{"method", "magic"}}, "test"), Error);
}

TEST(QuantizerTableTest, KnowsWhichSettingsUseStatistics) {
  for (const char* text : {"f16", "rtn", "rtn:bits=3", "rotate+rtn", "nf", "nf:bits=3", "gptq:bits=16"}) {
    EXPECT_FALSE(uses_statistics(parse_quantizer_setting(text, "test"))) << text;
  }
  for (const char* text : {"gptq", "log", "codebook:bits=2", "lnq", "rate", "banded", "scale+rtn", "nf:bits=1",
                           "nf:grid=mse", "nf:feedback"}) {
    EXPECT_TRUE(uses_statistics(parse_quantizer_setting(text, "test"))) << text;
  }
}

}  // namespace
}  // namespace lcomp
