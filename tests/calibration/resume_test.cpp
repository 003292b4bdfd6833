// What calibration does after it was killed.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "lcomp/calibration/calibrate.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "support/reference_data.h"
#include "tiny_model.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t token_count = testing::several_slices;

CalibrationOptions kill_at(int step) {
  CalibrationOptions options = testing::in_slices();
  options.progress = [step, count = 0](const ProgressEvent&) mutable {
    if (count++ == step) std::raise(SIGKILL);
  };
  return options;
}

void run(const fs::path& folder, const CalibrationOptions& options = testing::in_slices()) {
  Decoder decoder(open_model(testing::tiny_model()));
  calibrate(decoder, testing::random_tokens(token_count, 137), folder, options);
}

// Everything that an archive says, to the bit.
std::map<std::string, std::vector<std::byte>> archive_contents(const fs::path& folder) {
  const Archive archive = Archive::open(folder, CalibrationArchive::open(folder).key().text());
  std::map<std::string, std::vector<std::byte>> items;
  for (const std::string& name : archive.names()) {
    std::vector<std::byte>& item = items[name];
    const auto assign = [&](std::span<const std::byte> bytes) { item.assign(bytes.begin(), bytes.end()); };
    if (name.starts_with("hessian/") || name.starts_with("ranges/")) {
      assign(std::as_bytes(archive.read(name).span()));
    } else if (name == "token_counts" || name.starts_with("histogram/")) {
      const std::vector<double> counts = archive.read_doubles(name);
      assign(std::as_bytes(std::span(counts)));
    } else {
      item = archive.read_bytes(name);
    }
  }
  return items;
}

// The folder of a test that runs a second time, in a process of its own, up to the statement that kills it.
class SharedFolder {
 public:
  SharedFolder() {
    const char* given = std::getenv(variable);
    path_ = given != nullptr ? fs::path(given) : own_.emplace().path();
    if (given == nullptr) setenv(variable, path_.c_str(), 1);
  }
  ~SharedFolder() {
    if (own_) unsetenv(variable);
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  static constexpr const char* variable = "LCOMP_TEST_RESUME_FOLDER";
  std::optional<testing::TemporaryFolder> own_;
  fs::path path_;
};

TEST(SlowResume, KilledAtAnyStepTheEndIsTheSame) {
  LCOMP_REQUIRE(testing::tiny_model());
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const SharedFolder folder;
  // 1 at the beginning, 2 a layer, 2 for the head. In even cases the same run is killed a second time.
  for (int step = 0; step <= 10; ++step) {
    const fs::path archive = folder / std::to_string(step);
    EXPECT_EXIT(run(archive, kill_at(step)), ::testing::KilledBySignal(SIGKILL), "") << step;
    if (step % 2 == 0) {
      // Where all layers were done, three steps are left: the beginning and the head.
      EXPECT_EXIT(run(archive, kill_at(std::min(step / 3, 2))), ::testing::KilledBySignal(SIGKILL), "") << step;
    }
  }
  run(folder / "whole");
  const auto expected = archive_contents(folder / "whole");
  for (int step = 0; step <= 10; ++step) {
    const fs::path archive = folder / std::to_string(step);
    int steps = 0;
    CalibrationOptions options = testing::in_slices();
    options.memory_limit = step % 3 == 0 ? 0 : options.memory_limit;
    options.progress = [&](const ProgressEvent&) { ++steps; };
    run(archive, options);
    EXPECT_EQ(archive_contents(archive), expected) << "killed at step " << step;
    // Steps 1 and 2 are of layer 0, and so on: what was finished isn't done again.
    const int finished_layers = std::min(4, std::max(0, step - 1) / 2);
    EXPECT_LE(steps, 1 + 2 * (4 - finished_layers) + 2) << "killed at step " << step;
    for (const auto& entry : fs::directory_iterator(archive)) {
      EXPECT_NE(entry.path().extension(), ".bin") << entry.path();
      EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
    }
  }
}

// The states of the folder that a kill between two files leaves behind.
struct Interruption : ::testing::Test {
  testing::TemporaryFolder folder;
  fs::path archive() const { return folder / "archive"; }

  void SetUp() override {
    LCOMP_REQUIRE(testing::tiny_model());
    run(folder / "whole");
    CalibrationOptions options = testing::in_slices();
    options.progress = [count = 0](const ProgressEvent&) mutable {
      if (++count == 7) throw Interrupted();  // in layer 2
    };
    EXPECT_THROW(run(archive(), options), Interrupted);
    ASSERT_TRUE(fs::exists(archive() / "residual-00002.bin"));
    ASSERT_FALSE(fs::exists(archive() / "residual-00001.bin"));
  }
  void expect_the_same_end() const {
    run(archive());
    EXPECT_EQ(archive_contents(archive()), archive_contents(folder / "whole"));
  }
};

TEST_F(Interruption, BeforeALayerIsDeclaredDone) {
  fs::remove(archive() / "layer-00001.h5");
  fs::remove(archive() / "ranges%2Fmodel.layers.1.mlp.down_proj.h5");
  fs::rename(archive() / "residual-00002.bin", archive() / "ahead");
  expect_the_same_end();  // no stream at all: from the texts
}

TEST_F(Interruption, TheStreamIsLost) {
  fs::remove(archive() / "residual-00002.bin");
  expect_the_same_end();
}

TEST_F(Interruption, TheStreamIsDamaged) {
  fs::resize_file(archive() / "residual-00002.bin", 1000);
  expect_the_same_end();
}

TEST_F(Interruption, AHalfWrittenFileIsRemoved) {
  std::ofstream(archive() / ".residual-00003.bin.1.2.tmp") << "half";
  expect_the_same_end();
  EXPECT_FALSE(fs::exists(archive() / ".residual-00003.bin.1.2.tmp"));
}

TEST_F(Interruption, TwoAtOnceAreRefused) {
  Archive other =
      Archive::open(archive(), calibration_key(open_model(testing::tiny_model()), ComputeType::float32,
                                               testing::random_tokens(token_count, 137), testing::in_slices())
                                   .text());
  other.lock();
  EXPECT_THROW(run(archive()), Error);
}

}  // namespace
}  // namespace lcomp
