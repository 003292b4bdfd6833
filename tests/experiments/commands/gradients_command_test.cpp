// `lcomp logits --loss --gradients`: a file like that of the reference implementation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "experiments/command_line.h"
#include "lcomp/io/safetensors.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::CommandResult;
using testing::golden;
using ::testing::HasSubstr;
using testing::run_lcomp;

std::vector<float> values_of(const SafetensorsEntry& entry) {
  std::vector<float> values(entry.bytes.size() / sizeof(float));
  to_float(entry, 0, values);
  return values;
}

void expect_mistake(const std::vector<std::string>& arguments, const std::string& text) {
  const CommandResult result = run_lcomp(arguments);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr(text));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

// A tied embedding; experts; a padding token among the ids, and a final soft cap.
struct GradientsCommand : ::testing::TestWithParam<const char*> {};

TEST_P(GradientsCommand, MatchesTheReference) {
  const std::string model = golden(std::string("families/") + GetParam());
  LCOMP_REQUIRE(model);
  const testing::TemporaryFolder folder;
  const std::string out = folder.path() / "out.safetensors";
  const CommandResult result = run_lcomp({"logits", model, "--input-ids", model + "/io.safetensors", "--loss",
                                          "--gradients", "--hidden-states", "--out", out, "--quiet"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const SafetensorsFile computed(out), reference(model + "/io.safetensors");
  for (const SafetensorsEntry& expected : reference.entries()) {
    if (expected.type != DataType::f32) continue;  // token ids
    const SafetensorsEntry& found = computed.entry(expected.name);
    ASSERT_EQ(found.shape, expected.shape) << expected.name;
    const std::vector<float> a = values_of(found), b = values_of(expected);
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
      size += std::pow(static_cast<double>(b[i]), 2);
    }
    EXPECT_LE(std::sqrt(difference), 1e-4 * std::sqrt(size)) << expected.name;
  }
}
INSTANTIATE_TEST_SUITE_P(Families, GradientsCommand, ::testing::Values("llama-tied", "mixtral", "gemma2"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(GradientsCommandMistakes, AreOneLine) {
  const std::string model = golden("families/llama-tied");
  LCOMP_REQUIRE(model);
  const testing::TemporaryFolder folder;
  const std::string ids = folder.path() / "ids.safetensors", out = folder.path() / "out.safetensors";
  const std::vector<std::int64_t> two = {5, 9};
  SafetensorsWriter writer(ids, {{"input_ids", DataType::i64, {2, 1}}});
  writer.write("input_ids", std::as_bytes(std::span(two)));
  writer.finish();
  expect_mistake({"logits", model, "--input-ids", ids, "--gradients", "--out", out, "--quiet"}, "no token has a cost");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(GradientsCommandMistakes, IntegerActivationsAreRefused) {
  const std::string model = golden("families/llama-tied");
  LCOMP_REQUIRE(model);
  const testing::TemporaryFolder folder;
  const std::string compressed = folder.path() / "compressed", out = folder.path() / "out.safetensors";
  const CommandResult result = run_lcomp(
      {"compress", model, "--method", "rtn", "--bits", "8", "--activations", "token", "--out", compressed, "--quiet"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string ids = model + "/io.safetensors";
  expect_mistake({"logits", compressed, "--input-ids", ids, "--gradients", "--out", out, "--quiet"},
                 "integer activations");
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace lcomp
