#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "experiments/command_line.h"
#include "experiments/small_model.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using testing::CommandResult;
using testing::golden;
using ::testing::HasSubstr;
using testing::run_lcomp;

// lcomp calibrate, and what uses its statistics: compress, run, quantize.
class CalibrationCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    LCOMP_REQUIRE(golden("families/llama-tied"));
    model_ = testing::copy_small_model(folder_ / "model");
    text_ = folder_ / "text.txt";
    testing::write_small_text(text_);
  }
  CommandResult lcomp(std::vector<std::string> arguments) const {
    arguments.push_back("--quiet");
    return run_lcomp(arguments);
  }
  nlohmann::json succeed(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    const CommandResult result = lcomp(std::move(arguments));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out, nullptr, false);
  }
  void expect_mistake(const std::vector<std::string>& arguments, const std::string& text) const {
    const CommandResult result = lcomp(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(text));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  // Mean KL divergence of a compressed model from the original.
  double divergence(const std::string& compressed) const {
    return succeed({"eval", compressed, "--task", "kl", "--reference", model_, "--file", text_, "--window", "32"})
        .at("kl")
        .at("kl_mean");
  }

  testing::TemporaryFolder folder_;
  std::string model_, text_;
};

TEST_F(CalibrationCommands, CalibrateThenCompress) {
  const std::string archive = folder_ / "statistics", out = folder_ / "out";
  const std::vector<std::string> calibrate = {"calibrate", model_, "--texts",  text_,   "--sequences", "8",
                                              "--tokens",  "64",   "--no-bos", "--out", archive};
  auto report = succeed(calibrate);
  EXPECT_EQ(report.at("tokens"), 8 * 64);
  EXPECT_EQ(report.at("components").size(), 4u * 7 + 1);
  EXPECT_GT(report.at("stage_cpu_seconds").at("forward"), 0);
  for (const char* times : {"stage_seconds", "stage_cpu_seconds"}) report.erase(times);
  EXPECT_EQ(succeed(calibrate), report);  // done already

  const auto compressed =
      succeed({"compress", model_, "--method", "gptq:bits=3,group=16", "--statistics", archive, "--out", out});
  for (const auto& line : compressed.at("components")) EXPECT_EQ(line.at("quantizer"), "gptq:bits=3,group=16,asym");
  succeed({"compress", model_, "--method", "rtn:bits=3,group=16", "--out", folder_ / "rounded"});
  EXPECT_LT(divergence(out), divergence(folder_ / "rounded"));

  expect_mistake({"calibrate", model_, "--texts", text_, "--sequences", "7", "--tokens", "64", "--out", archive},
                 "other texts");
}

TEST_F(CalibrationCommands, CompressCalibratesAsItGoes) {
  for (const char* order : {"block", "stage"}) {
    const std::string out = folder_ / order;
    succeed({"compress", model_, "--method", "gptq:bits=3,group=16,act_order", "--texts", text_, "--sequences", "8",
             "--tokens", "64", "--order", order, "--out", out});
    EXPECT_LT(divergence(out), 2.0);
  }
  EXPECT_NE(read_text_file(folder_ / "block/model.safetensors"), read_text_file(folder_ / "stage/model.safetensors"));
}

TEST_F(CalibrationCommands, APromptIsATextWithItsAnswer) {
  const std::filesystem::path mmlu = folder_ / "data/mmlu";
  std::filesystem::create_directories(mmlu / "test");
  std::filesystem::create_directories(mmlu / "dev");
  write_text_file(mmlu / "subjects.csv", "places,world\n");
  std::string questions;
  for (int i = 0; i < 5; ++i) questions += "Where is it?,here,there,up,down,B\n";
  write_text_file(mmlu / "test/places_test.csv", questions);
  write_text_file(mmlu / "dev/places_dev.csv", questions);
  const std::string data = folder_ / "data";
  const nlohmann::json result =
      succeed({"calibrate", model_, "--texts", "mmlu", "--data", data, "--short-texts", "keep", "--sequences", "5",
               "--tokens", "64", "--out", folder_ / "statistics"});
  EXPECT_THAT(result.at("texts").get<std::string>(), HasSubstr("the prompts of mmlu, 5-shot"));
  expect_mistake({"calibrate", model_, "--texts", "mmlu", "--data", data, "--sequences", "600", "--tokens", "64",
                  "--out", folder_ / "more"},
                 "the prompts of mmlu, 5-shot: ");
}

TEST_F(CalibrationCommands, MistakesAreOneLine) {
  const std::string out = folder_ / "out";
  expect_mistake({"compress", model_, "--method", "gptq:bits=4", "--out", out}, "without calibration");
  expect_mistake({"compress", model_, "--method", "gptq:bits=4", "--out", out, "--statistics", folder_ / "absent"},
                 "absent");
  expect_mistake({"compress", model_, "--method", "gptq:bits=4", "--out", out, "--texts", folder_ / "absent.txt"},
                 "absent.txt");
  expect_mistake({"calibrate", model_, "--texts", text_, "--sequences", "1", "--tokens", "100000", "--out", out},
                 "text.txt");
  expect_mistake({"calibrate", model_, "--texts", text_, "--sequences", "1000", "--tokens", "64", "--out", out}, "64");
  expect_mistake({"calibrate", model_, "--out", out}, "--texts");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(CalibrationCommands, ExperimentsCalibrateTheirMethods) {
  nlohmann::json experiment = {
      {"model", model_},
      {"output", (folder_ / "runs").string()},
      {"calibration", {{"texts", {text_}}, {"sequences", 8}, {"tokens", 64}, {"order", "original"}}},
      {"methods",
       {{{"name", "rounding"}, {"quantizer", "rtn:group=16"}},
        {{"name", "gptq"}, {"quantizer", "gptq:group=16"}},
        {{"name", "gptq, sequential"}, {"quantizer", "gptq:group=16"}, {"calibration", {{"order", "stage"}}}}}},
      {"sizes", {{{"bits", 3}}}},
      {"tasks", {{{"task", "kl"}, {"protocol", "file"}, {"file", text_}, {"window", 32}}}}};
  write_text_file(folder_ / "experiment.json", experiment.dump());
  const auto result = succeed({"run", folder_ / "experiment.json"});
  ASSERT_EQ(result.at("rows").size(), 4u);
  const auto kl = [&](std::size_t row) {
    return result.at("rows")[row].at("scores").at("text.txt").at("kl").at("kl_mean").get<double>();
  };
  EXPECT_EQ(result.at("rows")[1].at("bytes"), result.at("rows")[2].at("bytes"));
  EXPECT_LT(kl(2), kl(1));
  EXPECT_NE(kl(2), kl(3));
  EXPECT_EQ(succeed({"run", folder_ / "experiment.json"}).at("computed_cells"), 0);

  experiment.erase("calibration");
  experiment["methods"].erase(2);
  write_text_file(folder_ / "experiment.json", experiment.dump());
  expect_mistake({"run", folder_ / "experiment.json"}, "calibration");
}

TEST_F(CalibrationCommands, QuantizeOneTensor) {
  LCOMP_REQUIRE(golden("gptq/data.safetensors"));
  const std::string data = golden("gptq/data.safetensors"), out = folder_ / "layer.safetensors";
  const auto result = succeed({"quantize", data + ":W", "--hessian", data + ":H", "--method", "rtn:bits=3,group=64",
                               "--method", "gptq:bits=3,group=64", "--out", out});
  const auto& results = result.at("results");
  ASSERT_EQ(results.size(), 2u);
  EXPECT_LT(results[1].at("proxy_error").get<double>(), 0.5 * results[0].at("proxy_error").get<double>());
  const SafetensorsFile file(out);
  EXPECT_EQ(file.entry("gptq:bits=3,group=64,asym/W").shape, (std::vector<std::size_t>{96, 256}));
  EXPECT_EQ(file.entry("rtn:bits=3,group=64,asym/W.unpacked_codes").shape, (std::vector<std::size_t>{96, 256}));
  EXPECT_EQ(file.entry("rtn:bits=3,group=64,asym/W.decoded_scales").shape, (std::vector<std::size_t>{96, 4}));

  expect_mistake({"quantize", data + ":W", "--method", "gptq:bits=3"}, "no Hessian");
  expect_mistake({"quantize", data + ":W", "--hessian", data + ":X", "--method", "gptq:bits=3"}, "1024 x 256");
  expect_mistake({"quantize", data, "--method", "rtn:bits=3"}, "FILE:TENSOR");
  expect_mistake({"quantize", data + ":Q", "--method", "rtn:bits=3"}, "Q");
  expect_mistake({"quantize", model_ + ":model.norm.weight", "--method", "rtn:bits=3"}, "matrix");
}

// What learns: the allocation, the repair.
class SlowLearningCommands : public CalibrationCommands {
 protected:
  void SetUp() override {
    CalibrationCommands::SetUp();
    if (IsSkipped()) return;
    archive_ = folder_ / "statistics";
    succeed({"calibrate", model_, "--texts", text_, "--sequences", "8", "--tokens", "64", "--no-bos", "--sensitivity",
             "divergence", "--out", archive_});
  }
  std::vector<std::string> compress(const std::string& out, std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"compress",
                                          model_,
                                          "--statistics",
                                          archive_,
                                          "--texts",
                                          text_,
                                          "--sequences",
                                          "8",
                                          "--tokens",
                                          "64",
                                          "--no-bos",
                                          "--out",
                                          folder_ / out,
                                          "--learning-sequences",
                                          "8",
                                          "--held-out",
                                          "8"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::string archive_;
};

TEST_F(SlowLearningCommands, SeveralSizesFromOneSetOfStatistics) {
  const auto reports = succeed(compress("models", {"--method", "learned", "--ratio", "4,5", "--rounds", "2"}));
  ASSERT_EQ(reports.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    const double ratio = 4.0 + static_cast<double>(i);
    EXPECT_GE(reports[i].at("ratio"), ratio);
    EXPECT_LT(reports[i].at("ratio"), 1.02 * ratio);
    EXPECT_EQ(reports[i].at("learning").at("rounds").size(), 2u);
    const std::string folder = folder_ / ("models/ratio-" + std::to_string(4 + i));
    EXPECT_EQ(reports[i].at("out"), folder);
    const auto config = parse_json_file(std::filesystem::path(folder) / "config.json");
    EXPECT_TRUE(config.at("quantization_config").contains("learning"));
    EXPECT_LT(divergence(folder), 3.0);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "models/ratio-4.unfinished"));
}

TEST_F(SlowLearningCommands, RepairStaysWithinTheTarget) {
  const auto repaired = succeed(compress("repaired", {"--method", "rate", "--ratio", "5", "--tune-steps", "16"}));
  EXPECT_GE(repaired.at("ratio"), 5.0);
  EXPECT_EQ(repaired.at("repair").at("points").front().at("step"), 0);
  double least = 1e9;
  for (const auto& point : repaired.at("repair").at("points")) {
    least = std::min(least, point.at("held_out_cost").get<double>());
  }
  EXPECT_LT(least, repaired.at("repair").at("points").front().at("held_out_cost").get<double>());
  EXPECT_LT(divergence(folder_ / "repaired"), 3.0);
  std::uint64_t bytes = repaired.at("kept_bytes");
  for (const auto& line : repaired.at("components")) bytes += line.at("bytes").get<std::uint64_t>();
  EXPECT_EQ(repaired.at("bytes"), bytes);
}

// The room that was left for factors goes back to the codes; what was learned is learned once.
TEST_F(SlowLearningCommands, ARepairThatBringsNothingTakesNoBytes) {
  const auto compressed = [&](const std::string& name, const nlohmann::json& repair) {
    nlohmann::json setting = {{"quantizer", "rate"}};
    if (!repair.is_null()) setting["repair"] = repair;
    write_text_file(folder_ / (name + ".json"), setting.dump());
    return succeed(compress(
        name, {"--config", folder_ / (name + ".json"), "--allocator", "learned", "--rounds", "2", "--ratio", "5"}));
  };
  const auto plain = compressed("plain", nullptr);
  const auto wild = compressed("wild", {{"steps", 2}, {"rate", 0.9}});
  ASSERT_EQ(wild.at("repair").at("step"), 0);
  EXPECT_GT(wild.at("repair").at("points").back().at("held_out_cost"),
            wild.at("repair").at("points")[0].at("held_out_cost"));
  EXPECT_EQ(wild.at("learning").at("rounds").size(), 2u);
  EXPECT_NEAR(wild.at("bytes").get<double>() / plain.at("bytes").get<double>(), 1, 0.005);
  EXPECT_EQ(SafetensorsFile(folder_ / "wild/model.safetensors").entries().size(),
            SafetensorsFile(folder_ / "plain/model.safetensors").entries().size());
  const auto config = parse_json_file(folder_ / "wild/config.json").at("quantization_config");
  EXPECT_EQ(config.at("repair").at("points"), wild.at("repair").at("points"));
  EXPECT_EQ(config.at("bytes"), wild.at("bytes"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "wild.unfinished"));
}

// By statistics of what was compressed; the same as by hand.
TEST_F(SlowLearningCommands, RecalibratesOnWhatItCompressed) {
  const auto once = succeed(compress("once", {"--method", "rate", "--ratio", "6"}));
  EXPECT_FALSE(once.contains("recalibrations"));
  const auto again = succeed(compress("again", {"--method", "rate", "--ratio", "6", "--recalibrations", "1"}));
  EXPECT_EQ(again.at("recalibrations"), 1);
  EXPECT_GE(again.at("ratio"), 6.0);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "again.unfinished"));
  succeed({"calibrate", folder_ / "once", "--texts", text_, "--sequences", "8", "--tokens", "64", "--no-bos",
           "--sensitivity", "divergence", "--out", folder_ / "statistics2"});
  succeed({"compress", model_, "--method", "rate", "--ratio", "6", "--statistics", folder_ / "statistics2",
           "--statistics-of", folder_ / "once", "--out", folder_ / "by_hand"});
  EXPECT_EQ(read_text_file(folder_ / "again/model.safetensors"), read_text_file(folder_ / "by_hand/model.safetensors"));
  EXPECT_NE(read_text_file(folder_ / "again/model.safetensors"), read_text_file(folder_ / "once/model.safetensors"));

  expect_mistake(compress("out", {"--method", "rtn", "--ratio", "4", "--recalibrations", "1"}), "no statistics");
  expect_mistake({"compress", model_, "--statistics", archive_, "--method", "rate", "--ratio", "6", "--recalibrations",
                  "1", "--out", folder_ / "out"},
                 "no texts");
  expect_mistake({"compress", model_, "--texts", text_, "--sequences", "8", "--tokens", "64", "--method", "gptq:bits=4",
                  "--recalibrations", "1", "--out", folder_ / "out"},
                 "compressed blocks");
}

TEST_F(SlowLearningCommands, AnExperimentLearnsAndRepairs) {
  const nlohmann::json repair = {{"steps", 4}, {"sequences", 8}, {"held_out", 8}};
  const nlohmann::json experiment = {
      {"model", model_},
      {"output", (folder_ / "runs").string()},
      {"calibration",
       {{"texts", {text_}}, {"sequences", 8}, {"tokens", 64}, {"order", "original"}, {"sensitivity", "divergence"}}},
      {"learning", {{"sequences", 8}, {"held_out", 8}, {"rounds", 2}}},
      {"methods",
       {{{"name", "learned"}, {"quantizer", "rate"}, {"allocator", "learned"}},
        {{"name", "recalibrated"}, {"quantizer", "rate"}, {"recalibrations", 1}},
        {{"name", "repaired"}, {"quantizer", "rate"}, {"repair", repair}},
        {{"name", "learned, repaired"}, {"quantizer", "rate"}, {"allocator", "learned"}, {"repair", repair}}}},
      {"sizes", {{{"ratio", 5}}}},
      {"tasks", {{{"task", "kl"}, {"protocol", "file"}, {"file", text_}, {"window", 32}}}}};
  write_text_file(folder_ / "experiment.json", experiment.dump());
  const auto result = succeed({"run", folder_ / "experiment.json"});
  ASSERT_EQ(result.at("rows").size(), 5u);
  for (const std::size_t row : {1u, 2u, 3u, 4u}) EXPECT_GE(result.at("rows")[row].at("ratio"), 5.0);
  const auto learning_of = [&](std::size_t row) {
    const std::string cell = result.at("rows")[row].at("cell");
    return parse_json_file(folder_ / ("runs/cells/" + cell) / "cell.json").at("learning");
  };
  EXPECT_EQ(learning_of(4), learning_of(1)) << "room for the repair would change the bytes of a learning of its own";
  EXPECT_EQ(succeed({"run", folder_ / "experiment.json"}).at("computed_cells"), 0);
  const auto plots = succeed({"plot", folder_ / "runs", "--out", folder_ / "plots"});
  EXPECT_TRUE(std::filesystem::exists(folder_ / "plots/learning_learned.csv")) << plots;
}

TEST_F(SlowLearningCommands, MistakesAreOneLine) {
  expect_mistake(compress("out", {"--method", "learned"}), "target");
  expect_mistake(compress("out", {"--method", "rtn:group=16", "--allocator", "learned", "--ratio", "3"}),
                 "fixed width");
  expect_mistake({"compress", model_, "--statistics", archive_, "--texts", text_, "--sequences", "8", "--tokens", "64",
                  "--method", "learned", "--ratio", "5", "--learning-sequences", "100000", "--out", folder_ / "out"},
                 "text.txt");
  expect_mistake(
      {"compress", model_, "--statistics", archive_, "--method", "learned", "--ratio", "5", "--out", folder_ / "out"},
      "no texts to learn from");
  write_text_file(folder_ / "setting.json", R"({"quantizer": "rate", "target": {"ratio": 5}, "repair": {"step": 3}})");
  expect_mistake({"compress", model_, "--statistics", archive_, "--config", folder_ / "setting.json", "--texts", text_,
                  "--out", folder_ / "out"},
                 "step");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

}  // namespace
}  // namespace lcomp
