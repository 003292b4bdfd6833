// `lcomp train` as a child process: killed, on a full disk, and what it leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "experiments/command_line.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/training/training_log.h"
#include "training/small_texts.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::run_lcomp;

class TrainCommand : public ::testing::Test {
 protected:
  std::string config(const std::string& out) {
    nlohmann::json json = testing::small_training(folder_.path());
    json["steps"] = 40;
    json["checkpoint_every"] = 3;
    json["out"] = (folder_ / out).string();
    const std::string file = folder_ / (out + ".json");
    write_text_file(file, json.dump());
    return file;
  }
  std::string text(const std::string& name) { return read_text_file(folder_ / name); }

  testing::TemporaryFolder folder_;
};

TEST_F(TrainCommand, KilledItGoesOnToTheSameBits) {
  const CommandResult whole = run_lcomp({"train", config("whole"), "--quiet", "--json"});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(nlohmann::json::parse(whole.out).at("steps"), 40);
  const std::string killed = config("killed");
  run_lcomp({"train", killed, "--quiet"},
            {.kill_when_exists = folder_ / "killed/checkpoints/step-00000006.safetensors"});
  run_lcomp({"train", killed, "--quiet"},
            {.kill_when_exists = folder_ / "killed/checkpoints/step-00000018.safetensors"});
  const CommandResult rest = run_lcomp({"train", killed, "--quiet", "--json"});
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_EQ(text("killed/model.safetensors"), text("whole/model.safetensors"));
  const auto a = read_training_log(folder_ / "whole/log.csv"), b = read_training_log(folder_ / "killed/log.csv");
  ASSERT_EQ(b.size(), 40U);
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(b[i].loss, a[i].loss);
    EXPECT_EQ(b[i].tokens, a[i].tokens);
  }
}

TEST_F(TrainCommand, AFullDiskLeavesThePreviousCheckpoint) {
  const std::string file = config("out");
  const CommandResult stopped = run_lcomp({"train", file, "--quiet", "--set", "steps=3"});
  ASSERT_EQ(stopped.exit_code, 0) << stopped.err;
  const std::string checkpoint = "out/checkpoints/step-00000003.safetensors", before = text(checkpoint);
  const CommandResult full = run_lcomp({"train", file, "--quiet", "--extend"}, {.file_size = 20000});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, AllOf(HasSubstr("step-00000006"), HasSubstr("bytes")));
  EXPECT_EQ(text(checkpoint), before);
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "out/checkpoints")) files += entry.exists() ? 1 : 0;
  EXPECT_EQ(files, 1U);
  const CommandResult rest = run_lcomp({"train", file, "--quiet", "--extend"});
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
}

TEST_F(TrainCommand, OtherCommandsTakeTheModel) {
  const std::string file = config("out");
  ASSERT_EQ(run_lcomp({"train", file, "--quiet"}).exit_code, 0);
  const std::string model = folder_ / "out", sample = folder_ / "sample.txt";
  testing::write_small_text(sample);
  const CommandResult scored = run_lcomp({"eval", model, "--file", sample, "--window", "32", "--quiet", "--json"});
  EXPECT_EQ(scored.exit_code, 0) << scored.err;
  const CommandResult compressed =
      run_lcomp({"compress", model, "--method", "rtn:bits=4,group=8", "--out", folder_ / "small", "--quiet"});
  EXPECT_EQ(compressed.exit_code, 0) << compressed.err;
  const CommandResult again = run_lcomp({"train", file, "--quiet"});
  EXPECT_THAT(again.out, HasSubstr("trained before"));
}

TEST_F(TrainCommand, MistakesAreOneLine) {
  const CommandResult unknown = run_lcomp({"train", config("out"), "--set", "stepz=3"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("unknown key \"stepz\""));
  EXPECT_EQ(std::count(unknown.err.begin(), unknown.err.end(), '\n'), 1);
}

}  // namespace
}  // namespace lcomp
