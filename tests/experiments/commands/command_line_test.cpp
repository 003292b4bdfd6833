#include "experiments/command_line.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "experiments/small_model.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"
#include "support/reference_data.h"

namespace lcomp::testing {

CommandResult run_lcomp(const std::vector<std::string>& arguments, const CommandLimits& limits) {
  const TemporaryFolder folder;
  const std::string out_path = folder / "out";
  const std::string err_path = folder / "err";
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    const int out = open(out_path.c_str(), O_WRONLY | O_CREAT, 0600);
    const int err = open(err_path.c_str(), O_WRONLY | O_CREAT, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    if (limits.file_size >= 0) {
      const rlimit limit{static_cast<rlim_t>(limits.file_size), static_cast<rlim_t>(limits.file_size)};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    std::vector<std::string> words = {LCOMP_BINARY};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  if (limits.interrupt_after_ms > 0) {
    usleep(static_cast<useconds_t>(limits.interrupt_after_ms) * 1000);
    kill(child, SIGINT);
  }
  int status = 0;
  if (!limits.kill_when_exists.empty()) {
    while (!std::filesystem::exists(limits.kill_when_exists) && waitpid(child, &status, WNOHANG) == 0) usleep(500);
    usleep(2000);
    kill(child, SIGKILL);
  }
  waitpid(child, &status, 0);
  CommandResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_text_file(out_path);
  result.err = read_text_file(err_path);
  return result;
}

}  // namespace lcomp::testing

namespace lcomp {
namespace {

using ::testing::AllOf;
using testing::CommandLimits;
using testing::CommandResult;
using testing::golden;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::run_lcomp;
using testing::TemporaryFolder;

namespace fs = std::filesystem;

// A copy of a small reference model with a tokenizer, a text to score, and an experiment.
class CommandLine : public ::testing::Test {
 protected:
  void SetUp() override {
    LCOMP_REQUIRE(golden("families/llama-tied"));
    model_ = testing::copy_small_model(folder_ / "model");
    testing::write_small_text(folder_ / "text.txt");
    write_text_file(folder_ / "experiment.json", experiment().dump(2));
  }

  nlohmann::json experiment() const {
    return {
        {"model", model_},
        {"output", (folder_ / "runs").string()},
        {"methods",
         {{{"name", "channel"}, {"quantizer", {{"method", "rtn"}, {"group_size", "channel"}}}},
          {{"name", "group"}, {"quantizer", {{"method", "rtn"}, {"group_size", 16}}}}}},
        {"sizes", {{{"bits", 8}}, {{"bits", 2}}, {{"ratio", 3}}}},
        {"tasks", {{{"task", "kl"}, {"protocol", "file"}, {"file", (folder_ / "text.txt").string()}, {"window", 32}}}}};
  }

  // A mistake: exit code 2, one line that contains `text`, nothing on stdout.
  void expect_mistake(const std::vector<std::string>& arguments, const std::string& text, int exit_code = 2) {
    const CommandResult result = run_lcomp(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(text));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_THAT(result.out, IsEmpty());
  }

  // Names in the test's folder that were not there before: nothing half-written may stay.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder_.path())) all.push_back(entry.path().filename());
    std::sort(all.begin(), all.end());
    return all;
  }

  TemporaryFolder folder_;
  std::string model_;
};

TEST_F(CommandLine, HelpHasExamples) {
  for (const char* command :
       {"run", "compress", "calibrate", "quantize", "eval", "inspect", "convert", "generate", "logits", "tokenize"}) {
    const CommandResult result = run_lcomp({command, "--help"});
    EXPECT_EQ(result.exit_code, 0) << command;
    EXPECT_THAT(result.out,
                AllOf(HasSubstr("Examples:"), HasSubstr(std::string("lcomp ") + command), HasSubstr("--json")));
  }
}

TEST_F(CommandLine, MistakesAreOneLine) {
  const std::string absent = folder_ / "absent";
  expect_mistake({}, "subcommand");
  expect_mistake({"evaluate"}, "evaluate");
  expect_mistake({"eval", model_, "--windw", "3"}, "--windw");
  expect_mistake({"eval", absent}, absent);
  expect_mistake({"eval", model_, "--file", absent}, absent);
  expect_mistake({"eval", model_, "--task", "kl"}, "--reference");
  expect_mistake({"eval", model_, "--data", absent}, absent);
  expect_mistake({"inspect", folder_ / "text.txt"}, "text.txt");
  expect_mistake({"compress", model_, "--out", folder_ / "out", "--method", "rnt"}, "rtn");
  expect_mistake({"compress", model_, "--out", folder_ / "out", "--bits", "9"}, "bits");
  expect_mistake({"compress", model_, "--out", folder_ / "out", "--bits", "4", "--component", "*.down={\"bits\":5}"},
                 "*.down");
  expect_mistake({"compress", model_, "--out", folder_ / "out", "--ratio", "50"}, "at least");
  expect_mistake({"run", absent}, absent);
  expect_mistake({"tokenize", model_, "--decode", "--text", "9999"}, "9999");
}

TEST_F(CommandLine, DamagedModelsAreOneLine) {
  const std::string config = read_text_file(model_ + "/config.json");
  auto json = nlohmann::json::parse(config);
  json["model_type"] = "lama";
  json["architectures"] = {"LamaForCausalLM"};
  write_text_file(model_ + "/config.json", json.dump());
  expect_mistake({"inspect", model_}, "llama");  // the supported families are listed
  json = nlohmann::json::parse(config);
  json["intermediate_size"] = 73;
  write_text_file(model_ + "/config.json", json.dump());
  expect_mistake({"inspect", model_}, "gate_proj");
  write_text_file(model_ + "/config.json", config);

  write_text_file(model_ + "/tokenizer.json", testing::small_tokenizer(1000).dump());
  expect_mistake({"eval", model_, "--file", folder_ / "text.txt", "--window", "32"}, "belongs to another model");

  const std::string weights = model_ + "/model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) - 100);
  expect_mistake({"inspect", model_}, "model.safetensors");
  fs::remove(weights);
  expect_mistake({"inspect", model_}, "model.safetensors");
}

TEST_F(CommandLine, NanWeightsAreNamed) {
  // The first two bytes of a float32 tensor's last value become those of a NaN.
  std::fstream file(model_ + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-4, std::ios::end);
  file.write("\x00\x00\xc0\x7f", 4);
  file.close();
  const std::string out = folder_ / "out";
  const CommandResult result = run_lcomp({"compress", model_, "--bits", "4", "--out", out});
  const CommandResult eval = run_lcomp({"eval", model_, "--file", folder_ / "text.txt", "--window", "32", "--quiet"});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("model.norm.weight, row 53, column 0: the value nan"));
  EXPECT_EQ(eval.exit_code, 2) << eval.err;
  EXPECT_THAT(eval.err, HasSubstr("NaN"));
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(CommandLine, CompressInspectEval) {
  const std::string out = folder_ / "small";
  const CommandResult compressed = run_lcomp({"compress", model_, "--bits", "4", "--group-size", "16", "--component",
                                              "*.down_proj={\"bits\": 5}", "--out", out, "--json", "--quiet"});
  ASSERT_EQ(compressed.exit_code, 0) << compressed.err;
  const auto report = nlohmann::json::parse(compressed.out);
  std::uint64_t file_bytes = 0;
  const SafetensorsFile weights(out + "/model.safetensors");
  for (const auto& entry : weights.entries()) file_bytes += entry.bytes.size();
  EXPECT_EQ(report.at("bytes").get<std::uint64_t>(), file_bytes);

  const CommandResult inspected = run_lcomp({"inspect", out, "--json"});
  ASSERT_EQ(inspected.exit_code, 0) << inspected.err;
  const auto listing = nlohmann::json::parse(inspected.out);
  EXPECT_EQ(listing.at("bytes").get<std::uint64_t>(), file_bytes);
  EXPECT_EQ(listing.at("parameters"), report.at("parameters"));

  const CommandResult scored = run_lcomp({"eval", out, "--task", "kl", "--reference", model_, "--file",
                                          folder_ / "text.txt", "--window", "32", "--json", "--quiet"});
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  const auto scores = nlohmann::json::parse(scored.out);
  EXPECT_GT(scores.at("kl").at("kl_mean").get<double>(), 0);
  EXPECT_LT(scores.at("kl").at("kl_mean").get<double>(), 1);

  // With the original's side from a file: the same bytes of output, twice.
  for (int i = 0; i < 2; ++i) {
    const CommandResult cached =
        run_lcomp({"eval", out, "--task", "kl", "--reference", model_, "--file", folder_ / "text.txt", "--window", "32",
                   "--cache", folder_ / "cache", "--json", "--quiet"});
    EXPECT_EQ(cached.out, scored.out) << cached.err;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "cache"), {}), 1);
  expect_mistake({"eval", out, "--cache", folder_ / "cache"}, "--cache");

  expect_mistake({"compress", model_, "--bits", "4", "--out", out, "--quiet"}, out);  // it exists
}

TEST_F(CommandLine, ATargetIsNeverExceeded) {
  const std::string out = folder_ / "small";
  const CommandResult result =
      run_lcomp({"compress", model_, "--ratio", "3", "--group-size", "16", "--out", out, "--json", "--quiet"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_GE(report.at("ratio").get<double>(), 3.0);
  EXPECT_LT(report.at("ratio").get<double>(), 3.3);
}

TEST_F(CommandLine, AFullDiskLeavesNothing) {
  const auto before = names();
  const CommandResult result =
      run_lcomp({"compress", model_, "--bits", "8", "--out", folder_ / "out", "--quiet"}, {.file_size = 20000});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("File too large"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(names(), before);
  const CommandResult converted =
      run_lcomp({"convert", model_, "--to", "safetensors", "--out", folder_ / "out", "--quiet"}, {.file_size = 20000});
  EXPECT_EQ(converted.exit_code, 1) << converted.err;
  EXPECT_EQ(names(), before);
}

TEST_F(CommandLine, LogitsMatchTheReference) {
  const std::string out = folder_ / "logits.safetensors";
  const std::string reference_path = golden("families/llama-tied/io.safetensors");
  const CommandResult result =
      run_lcomp({"logits", model_, "--input-ids", reference_path, "--hidden-states", "--out", out, "--quiet"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const SafetensorsFile computed(out);
  const SafetensorsFile reference(reference_path);
  for (const char* name : {"logits", "hidden.0", "hidden.1", "hidden.4", "hidden.norm"}) {
    const SafetensorsEntry& a = computed.entry(name);
    const SafetensorsEntry& b = reference.entry(name);
    ASSERT_EQ(a.shape, b.shape) << name;
    std::vector<float> x(a.bytes.size() / 4);
    std::vector<float> y(x.size());
    to_float(a, 0, x);
    to_float(b, 0, y);
    float largest = 0;
    float difference = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, std::fabs(y[i]));
      difference = std::max(difference, std::fabs(x[i] - y[i]));
    }
    EXPECT_LT(difference, 2e-4f * largest) << name;
  }
}

TEST_F(CommandLine, TokenizeBothWays) {
  const CommandResult ids = run_lcomp({"tokenize", model_, "--text", "A cat", "--json"});
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  const auto json = nlohmann::json::parse(ids.out);
  EXPECT_EQ(json.at("count"), 5);
  EXPECT_EQ(json.at("ids").at(1), 0);  // the space
  std::string list;
  for (const auto& id : json.at("ids")) list += id.dump() + " ";
  EXPECT_EQ(run_lcomp({"tokenize", model_, "--decode", "--text", list}).out, "A cat\n");
}

TEST_F(CommandLine, GenerateContinuesAPrompt) {
  const CommandResult result =
      run_lcomp({"generate", model_, "--prompt", "The quick", "--max-tokens", "5", "--json", "--quiet"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out).at("generated_tokens"), 5);
}

TEST_F(CommandLine, GenerateTakesTokenIds) {
  fs::remove(fs::path(model_) / "tokenizer.json");
  const CommandResult json =
      run_lcomp({"generate", model_, "--ids", "3,4,5", "--max-tokens", "4", "--json", "--quiet"});
  ASSERT_EQ(json.exit_code, 0) << json.err;
  const auto parsed = nlohmann::json::parse(json.out);
  EXPECT_EQ(parsed.at("prompt_ids"), nlohmann::json({3, 4, 5}));
  EXPECT_EQ(parsed.at("generated_tokens"), 4);
  std::string expected = "3 4 5";
  for (const auto& id : parsed.at("ids")) expected += " " + id.dump();
  const CommandResult text = run_lcomp({"generate", model_, "--ids", "3,4,5", "--max-tokens", "4", "--quiet"});
  EXPECT_EQ(text.out, expected + " \n");
  expect_mistake({"generate", model_, "--ids", "3,137"}, "137");
  expect_mistake({"generate", model_, "--ids", "3,-1"}, "-1");
  expect_mistake({"generate", model_, "--ids", "3,x"}, "x");
  expect_mistake({"generate", model_}, "--ids");
  expect_mistake({"generate", model_, "--ids", "3", "--prompt", "a"}, "--ids");
}

TEST_F(CommandLine, ARunIsKeptAndResumed) {
  const std::string config = folder_ / "experiment.json";
  const CommandResult first = run_lcomp({"run", config, "--json", "--quiet"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const auto metrics = nlohmann::json::parse(first.out);
  EXPECT_EQ(metrics.at("computed_cells"), 7);  // the original, and two methods at three sizes
  ASSERT_EQ(metrics.at("rows").size(), 7u);
  const fs::path runs = folder_ / "runs";
  for (const char* name : {"metrics.json", "environment.json", "table.md", "table.csv"})
    EXPECT_TRUE(fs::exists(runs / name)) << name;
  const std::string table = read_text_file(runs / "table.md");
  EXPECT_THAT(table, AllOf(HasSubstr("original"), HasSubstr("| channel"), HasSubstr("ratio 3")));
  const auto& rows = metrics.at("rows");
  const auto kl = [&rows](std::size_t row) {
    return rows.at(row).at("scores").at("text.txt").at("kl").at("kl_mean").get<double>();
  };
  EXPECT_LT(kl(1), kl(2)) << "8 bits lose less than 2";
  EXPECT_GE(rows.at(3).at("ratio").get<double>(), 3.0);
  EXPECT_EQ(std::distance(fs::directory_iterator(runs / "reference"), {}), 1) << "the original runs once";

  const CommandResult second = run_lcomp({"run", config, "--json", "--quiet"});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(nlohmann::json::parse(second.out).at("computed_cells"), 0);
  EXPECT_EQ(nlohmann::json::parse(second.out).at("rows"), rows);

  const CommandResult changed =
      run_lcomp({"run", config, "--set", "methods[1].quantizer.group_size=8", "--json", "--quiet"});
  ASSERT_EQ(changed.exit_code, 0) << changed.err;
  EXPECT_EQ(nlohmann::json::parse(changed.out).at("computed_cells"), 3);
}

TEST_F(CommandLine, AWrongExperimentIsRefusedBeforeAnyWork) {
  auto wrong = experiment();
  wrong["methods"][1]["quantizer"]["group_sise"] = 4;
  write_text_file(folder_ / "wrong.json", wrong.dump());
  expect_mistake({"run", folder_ / "wrong.json"}, "group_sise");
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(CommandLine, AnInterruptedRunGoesOn) {
  auto longer = experiment();
  longer["sizes"] = nlohmann::json::array();
  for (int bits = 1; bits <= 8; ++bits) longer["sizes"].push_back({{"bits", bits}});
  const std::string config = folder_ / "longer.json";
  write_text_file(config, longer.dump());
  const CommandResult stopped = run_lcomp({"run", config, "--quiet"}, {.interrupt_after_ms = 150});
  if (stopped.exit_code != 0) {  // it may have been quicker than the signal
    EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
    EXPECT_THAT(stopped.err, HasSubstr("interrupted"));
    EXPECT_EQ(std::count(stopped.err.begin(), stopped.err.end(), '\n'), 1) << stopped.err;
  }
  const CommandResult resumed = run_lcomp({"run", config, "--json", "--quiet"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(nlohmann::json::parse(resumed.out).at("rows").size(), 17u);
  for (const auto& cell : fs::directory_iterator(folder_ / "runs/cells")) {
    for (const auto& file : fs::directory_iterator(cell)) {
      EXPECT_EQ(file.path().extension(), ".json") << "left over: " << file.path();
    }
  }
}

}  // namespace
}  // namespace lcomp
