// Every command that takes a model, on a tiny model of every family: what it promises for one it keeps for all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "experiments/command_line.h"
#include "experiments/small_model.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/models/model_folder.h"
#include "support/gguf_of_model.h"
#include "support/golden_model.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using testing::CommandResult;
using testing::golden;
using ::testing::IsEmpty;
using testing::run_lcomp;

// general.architecture of a family.
std::string gguf_architecture_of(const std::string& family) {
  if (family == "phi") return "phi2";
  if (family == "phi3-longrope") return "phi3";
  if (family.starts_with("llama") || family.starts_with("mi")) return "llama";
  return family;
}

class FamilyContract : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    LCOMP_REQUIRE(golden("families") / GetParam());
    model_ = testing::copy_small_model(folder_ / "model", GetParam());
    text_ = folder_ / "text.txt";
    testing::write_small_text(text_);
    reference_ = golden("families") / GetParam() / "io.safetensors";
  }

  // The JSON that a command prints. Nothing on stderr: no warnings.
  static nlohmann::json succeed(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--quiet", "--json", "--threads", "2"});
    const CommandResult result = run_lcomp(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, IsEmpty());
    return nlohmann::json::parse(result.out, nullptr, false);
  }

  std::vector<std::string> with_texts(std::vector<std::string> arguments) const {
    for (const char* word : {"--texts", text_.c_str(), "--sequences", "8", "--tokens", "64"}) arguments.push_back(word);
    return arguments;
  }

  // Logits of the reference's tokens by `lcomp logits`, [tokens, vocab].
  Matrix logits(const std::string& model) const {
    const std::string out = folder_ / "logits.safetensors";
    succeed({"logits", model, "--input-ids", reference_, "--out", out});
    const SafetensorsFile file(out);
    return testing::read_matrix(file, "logits", file.entry("logits").shape.back());
  }
  Matrix reference_logits() const {
    const SafetensorsFile file(reference_);
    return testing::read_matrix(file, "logits", file.entry("logits").shape.back());
  }

  // A compressed model does what a model does, its bytes are those of the file, and its divergence is less than
  // `bound`.
  void expect_model(const std::string& compressed, const nlohmann::json& report, double bound) const {
    const nlohmann::json inspected = succeed({"inspect", compressed});
    EXPECT_EQ(inspected.at("bytes"), report.at("bytes"));
    EXPECT_EQ(inspected.at("parameters"), open_model(model_).parameters());
    const SafetensorsFile weights(fs::path(compressed) / "model.safetensors");
    std::uint64_t payload = 0;
    for (const SafetensorsEntry& entry : weights.entries()) payload += entry.bytes.size();
    EXPECT_EQ(payload, report.at("bytes"));
    const Matrix found = logits(compressed);
    EXPECT_EQ(found.rows(), reference_logits().rows());
    EXPECT_TRUE(std::all_of(found.span().begin(), found.span().end(), [](float v) { return std::isfinite(v); }));
    const nlohmann::json scores = succeed({"eval", compressed, "--task", "kl", "--reference", model_, "--file", text_,
                                           "--window", "32", "--sequences", "64"});
    EXPECT_TRUE(std::isfinite(scores.at("perplexity").at("perplexity").get<double>()));
    // The median: in a mixture, a token whose two best experts are a near tie may go to another one, and then differs
    // by more than any rounding.
    const double divergence = scores.at("kl").at("kl_median");
    EXPECT_GE(divergence, 0);
    EXPECT_LT(divergence, bound);
  }

  void compress_and_expect(const std::string& method, double bound, const std::vector<std::string>& more = {}) const {
    SCOPED_TRACE(method);
    const std::string out = folder_ / method;
    std::vector<std::string> arguments = {"compress", model_, "--method", method, "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_model(out, succeed(arguments), bound);
  }

  testing::TemporaryFolder folder_;
  std::string model_, text_, reference_;
};

TEST_P(FamilyContract, InspectLogitsGenerateEval) {
  const nlohmann::json inspected = succeed({"inspect", model_});
  const ModelFolder model = open_model(model_);
  EXPECT_EQ(inspected.at("parameters"), model.parameters());
  EXPECT_EQ(inspected.at("layers"), model.config.num_layers());
  EXPECT_LT(testing::relative_difference(logits(model_).view(), reference_logits().view()), 2e-4);

  // The reference's greedy continuation of the first eight tokens.
  fs::remove(fs::path(model_) / "tokenizer.json");  // none is needed
  const SafetensorsFile io(reference_);
  const std::vector<std::int32_t> ids = testing::read_ids(io, "input_ids");
  std::string prompt;
  for (std::size_t i = 0; i < 8; ++i) prompt += (i == 0 ? "" : ",") + std::to_string(ids[i]);
  const nlohmann::json generated = succeed({"generate", model_, "--ids", prompt, "--max-tokens", "16", "--ignore-end"});
  EXPECT_EQ(generated.at("ids"), testing::read_ids(io, "greedy_ids"));

  testing::copy_small_model(folder_ / "again", GetParam());
  const nlohmann::json scores = succeed({"eval", folder_ / "again", "--file", text_, "--window", "32"});
  EXPECT_GT(scores.at("perplexity").at("perplexity"), 1);
}

// The bounds are two or three times the divergence of the worst family; a wrong detail gives 1 and more.
TEST_P(FamilyContract, MethodsWithoutCalibration) {
  compress_and_expect("rtn:bits=8", 0.015);
  compress_and_expect("rotate+rtn:bits=8", 0.015);
  compress_and_expect("nf:bits=8", 0.1);
  compress_and_expect("log:bits=8,base=1.1", 0.3);
  compress_and_expect("codebook:bits=8,fit=lloyd", 5e-5);
}

TEST_P(FamilyContract, MethodsOnTheOriginalsStatistics) {
  const std::string archive = folder_ / "statistics";
  const nlohmann::json calibrated = succeed(with_texts({"calibrate", model_, "--out", archive}));
  EXPECT_EQ(calibrated.at("tokens"), 8 * 64);
  compress_and_expect("gptq:bits=8", 0.01, {"--statistics", archive});
  compress_and_expect("lnq:bits=4", 0.5, {"--statistics", archive});
  compress_and_expect("scale+rtn:bits=8", 0.015, {"--statistics", archive});
  compress_and_expect("log:bits=8,base=1.1,feedback", 0.2, {"--statistics", archive});
}

TEST_P(FamilyContract, MethodsOnTheCompressedModelsStatistics) {
  compress_and_expect("gptq:bits=8", 0.01, with_texts({}));
  compress_and_expect("gptq:bits=5,group=16", 0.3, with_texts({"--order", "stage"}));
}

// Whatever the shapes of its weights, a model is of the size that was asked for.
TEST_P(FamilyContract, ATargetIsMet) {
  const std::string out = folder_ / "out";
  const nlohmann::json report = succeed({"compress", model_, "--method", "rtn:group=32", "--ratio", "3", "--out", out});
  const double target = 2 * report.at("parameters").get<double>() / 3;
  EXPECT_LE(report.at("bytes"), target);
  EXPECT_GT(report.at("bytes"), 0.95 * target);
  expect_model(out, report, 1.2);
}

TEST_P(FamilyContract, GgufFiles) {
  const ModelFolder original = open_model(model_);
  testing::GgufWriter writer = testing::as_gguf(original, gguf_architecture_of(GetParam()));
  std::vector<std::string> tokens(original.config.vocab_size);
  const nlohmann::json tokenizer = testing::small_tokenizer(static_cast<int>(tokens.size()));
  for (const auto& [token, id] : tokenizer.at("model").at("vocab").items()) tokens[id.get<std::size_t>()] = token;
  writer.set("tokenizer.ggml.model", std::string("gpt2"));
  writer.set("tokenizer.ggml.tokens", tokens);
  writer.set("tokenizer.ggml.merges", std::vector<std::string>{});
  const std::string gguf = folder_ / "model.gguf";
  writer.write(gguf);
  EXPECT_EQ(succeed({"inspect", gguf}).at("parameters"), original.parameters());
  EXPECT_LT(testing::relative_difference(logits(gguf).view(), reference_logits().view()), 2e-4);
  const std::string out = folder_ / "out";
  expect_model(out, succeed({"compress", gguf, "--method", "rtn:bits=8", "--out", out}), 0.015);
  succeed({"convert", gguf, "--out", folder_ / "converted", "--dtype", "f32"});
  EXPECT_LT(testing::relative_difference(logits(folder_ / "converted").view(), reference_logits().view()), 2e-4);
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyContract, ::testing::ValuesIn(testing::golden_families),
                         testing::golden_family_name);

}  // namespace
}  // namespace lcomp
