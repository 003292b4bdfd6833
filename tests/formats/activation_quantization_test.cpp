#include "lcomp/formats/activation_quantization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using Json = nlohmann::json;

std::string refused(const Json& json) {
  try {
    activation_setting_from_json(json, "plan: activations");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ActivationSetting, DefaultsAndRoundTrip) {
  EXPECT_EQ(activation_setting_from_json({{"bits", 8}}, "plan"), ActivationSetting());
  const ActivationSetting tensor = activation_setting_from_json({{"bits", 8}, {"granularity", "tensor"}}, "plan");
  EXPECT_EQ(tensor.range, ActivationRange::minmax);
  for (const Json& json : {Json{{"bits", 8}}, Json{{"bits", 8}, {"granularity", "tensor"}, {"symmetric", false}},
                           Json{{"bits", 8}, {"granularity", "tensor"}, {"range", "percentile"}, {"percentile", 99.9}},
                           Json{{"bits", 8}, {"granularity", "tensor"}, {"range", "mse"}, {"head", true}}}) {
    const ActivationSetting setting = activation_setting_from_json(json, "plan");
    EXPECT_EQ(activation_setting_from_json(to_json(setting), "plan"), setting) << json;
    const Json full = to_json(setting);
    for (const auto& [key, value] : json.items()) EXPECT_EQ(full.at(key), value);
  }
}

TEST(ActivationSetting, MistakesNameTheKey) {
  using ::testing::HasSubstr;
  EXPECT_THAT(refused({{"bits", 4}}), HasSubstr("plan: activations.bits"));
  EXPECT_THAT(refused(Json::object()), HasSubstr("bits"));
  EXPECT_THAT(refused({{"bits", 8}, {"granularity", "channel"}}), HasSubstr("plan: activations.granularity"));
  EXPECT_THAT(refused({{"bits", 8}, {"range", "minmax"}}), HasSubstr("plan: activations.range"));
  EXPECT_THAT(refused({{"bits", 8}, {"granularity", "tensor"}, {"range", "dynamic"}}), HasSubstr("dynamic"));
  EXPECT_THAT(refused({{"bits", 8}, {"percentile", 99}}), HasSubstr("plan: activations.percentile"));
  EXPECT_THAT(refused({{"bits", 8}, {"granularity", "tensor"}, {"range", "percentile"}, {"percentile", 101}}),
              HasSubstr("percentile"));
  EXPECT_THAT(refused({{"bits", 8}, {"symetric", true}}), HasSubstr("symetric"));
}

TEST(ActivationSetting, IsDescribed) {
  EXPECT_EQ(describe(ActivationSetting()), "int8 per token");
  EXPECT_EQ(describe({ActivationGranularity::tensor, false, ActivationRange::percentile, 99.9, true}),
            "int8 per tensor, asymmetric, 99.9th percentile, head too");
}

TEST(InputGridCheck, RefusesWhatCannotBe) {
  EXPECT_NO_THROW(check_input_grid({0.1f, 128}, true, "w"));
  EXPECT_NO_THROW(check_input_grid({0.1f, 3}, false, "w"));
  for (const InputGrid& grid : {InputGrid{0, 128}, {-1, 128}, {NAN, 128}, {INFINITY, 128}, {1, 127}}) {
    EXPECT_THROW(check_input_grid(grid, true, "w"), Error);
  }
}

}  // namespace
}  // namespace lcomp
