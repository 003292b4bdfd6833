#include "lcomp/archive/archive.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <rapidcheck/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"
#include "support/matrices.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using testing::random_matrix;
using testing::TemporaryFolder;

class ArchiveTest : public ::testing::TestWithParam<ArchiveCompression> {
 protected:
  TemporaryFolder folder_;
};

TEST_P(ArchiveTest, GivesBackWhatWasWritten) {
  const Matrix values = random_matrix(37, 1001, 1);
  const std::vector<double> doubles = {0.1, -1e300, 5e-324};
  const std::vector<std::byte> bytes = {std::byte{0}, std::byte{255}, std::byte{10}};
  {
    Archive archive = Archive::open(folder_ / "a", "key", GetParam());
    archive.write("hessian/model.layers.0.self_attn.q_proj", values.view(), {{"tokens", "4096"}, {"empty", ""}});
    archive.write("loss", doubles);
    archive.write_bytes("raw", bytes, {{"text", "na\u00efve"}});
    archive.write("part", values.view().cols_range(3, 5));
    archive.write("none", ConstMatrixView(nullptr, 0, 7));
  }
  const Archive archive = Archive::open(folder_ / "a", "key", GetParam());
  EXPECT_THAT(archive.names(), ElementsAre("hessian/model.layers.0.self_attn.q_proj", "loss", "none", "part", "raw"));
  EXPECT_TRUE(archive.contains("loss"));
  EXPECT_FALSE(archive.contains("hessian"));
  const Matrix read = archive.read("hessian/model.layers.0.self_attn.q_proj");
  EXPECT_EQ(read.rows(), 37u);
  EXPECT_THAT(read.span(), ElementsAreArray(values.span()));
  EXPECT_THAT(archive.read_doubles("loss"), ElementsAreArray(doubles));
  EXPECT_THAT(archive.read_bytes("raw"), ElementsAreArray(bytes));
  EXPECT_EQ(archive.read("part")(36, 4), values(36, 7));
  EXPECT_EQ(archive.read("none").cols(), 7u);
  EXPECT_THAT(archive.attributes("hessian/model.layers.0.self_attn.q_proj"),
              ElementsAre(std::pair("empty", ""), std::pair("tokens", "4096")));
  EXPECT_EQ(archive.attributes("raw").at("text"), "na\u00efve");
  EXPECT_TRUE(archive.attributes("loss").empty());
}

// 2^21 floats: several zstd pieces, several HDF5 chunks.
TEST_P(ArchiveTest, LargeSmoothValuesAreCompressed) {
  Matrix values(2048, 1024);
  for (std::size_t i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(i / 64);
  Archive archive = Archive::open(folder_ / "a", "key", GetParam());
  archive.write("x", values.view());
  EXPECT_THAT(archive.read("x").span(), ElementsAreArray(values.span()));
  const auto stored = std::filesystem::file_size(folder_ / "a" / "x.h5");
  if (GetParam() == ArchiveCompression::none) {
    EXPECT_GE(stored, values.size() * 4);
  } else {
    EXPECT_LT(stored, values.size() / 4);
  }
}

TEST_P(ArchiveTest, EveryDamagedByteIsNoticed) {
  const Matrix values = random_matrix(8, 9, 2);
  Archive archive = Archive::open(folder_ / "a", "key", GetParam());
  archive.write("x", values.view(), {{"k", "v"}});
  const std::string intact = read_text_file(folder_ / "a" / "x.h5");
  Rng rng(3);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = intact;
    const std::size_t at = rng.below(damaged.size());
    damaged[at] = static_cast<char>(damaged[at] ^ static_cast<char>(1 + rng.below(255)));
    if (round % 10 == 0) damaged.resize(rng.below(damaged.size()));
    std::ofstream(folder_ / "a" / "x.h5", std::ios::binary) << damaged;
    const std::string message = testing::message([&] { archive.read("x"); });
    if (message == "no error") {
      // Only the unused rest of the user block carries nothing.
      EXPECT_LT(at, 512u);
      EXPECT_EQ(intact[at], '\0');
      continue;
    }
    EXPECT_THAT(message, HasSubstr("x.h5: item \"x\" is damaged"));
    EXPECT_NE(testing::message([&] { archive.attributes("x"); }), "no error");
  }
}

INSTANTIATE_TEST_SUITE_P(All, ArchiveTest,
                         ::testing::Values(ArchiveCompression::none, ArchiveCompression::gzip,
                                           ArchiveCompression::zstd),
                         [](const auto& test) -> std::string {
                           switch (test.param) {
                             case ArchiveCompression::none:
                               return "none";
                             case ArchiveCompression::gzip:
                               return "gzip";
                             case ArchiveCompression::zstd:
                               return "zstd";
                           }
                           return "";
                         });

TEST(Archive, RefusesWhatItShould) {
  const TemporaryFolder folder;
  Archive archive = Archive::open(folder / "a", "one");
  archive.write("loss", std::vector<double>{1});
  EXPECT_THAT(testing::message([&] { archive.write("loss", std::vector<double>{2}); }),
              HasSubstr("item \"loss\" is there already"));
  EXPECT_THAT(archive.read_doubles("loss"), ElementsAre(1));
  EXPECT_THAT(testing::message([&] { archive.read("loss"); }),
              HasSubstr("item \"loss\" is of the kind doubles; expected matrix"));
  EXPECT_THAT(testing::message([&] { archive.read("gain"); }), HasSubstr("no item \"gain\""));
  EXPECT_THAT(testing::message([&] { archive.write_bytes("", {}); }), HasSubstr("the item name \"\""));
  EXPECT_THAT(testing::message([&] { archive.write_bytes(std::string(300, 'x'), {}); }), HasSubstr("the item name"));
  EXPECT_FALSE(archive.contains(std::string(5000, 'x')));
  EXPECT_THAT(testing::message([&] {
                archive.write_bytes("y", {}, {{"k", std::string(70000, 'x')}});
              }),
              HasSubstr("attribute"));
  EXPECT_THAT(testing::message([&] { Archive::open(folder / "a", "two"); }),
              HasSubstr("an archive of something else (key \"one\")"));
  std::ofstream(folder / "file") << "x";
  EXPECT_NE(testing::message([&] { Archive::open(folder / "file", "one"); }), "no error");
  std::filesystem::create_directory(folder / "other");
  std::ofstream(folder / "other/notes.txt") << "x";
  EXPECT_THAT(testing::message([&] { Archive::open(folder / "other", "one"); }), HasSubstr("without archive.json"));
}

TEST(Archive, OneWriterAtATime) {
  const TemporaryFolder folder;
  Archive first = Archive::open(folder / "a", "key");
  first.write("x", std::vector<double>{1});
  {
    Archive second = Archive::open(folder / "a", "key");
    EXPECT_THAT(second.read_doubles("x"), ElementsAre(1));  // reading is free
    EXPECT_THAT(testing::message([&] { second.write("y", std::vector<double>{2}); }),
                HasSubstr("another process is writing"));
    EXPECT_THAT(testing::message([&] { second.lock(); }), HasSubstr("another process is writing"));
  }
  first.write("y", std::vector<double>{3});
  first = Archive::open(folder / "b", "key");  // lets go of the first
  Archive third = Archive::open(folder / "a", "key");
  third.write("z", std::vector<double>{4});
  EXPECT_THAT(third.names(), ElementsAre("x", "y", "z"));
}

TEST(Archive, HDF5ToolsReadGzipItems) {
  const TemporaryFolder folder;
  const Matrix values = random_matrix(5, 6, 4);
  Archive::open(folder / "a", "key", ArchiveCompression::gzip).write("x", values.view());
  const hid_t file = H5Fopen((folder / "a" / "x.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  const hid_t set = H5Dopen2(file, "values", H5P_DEFAULT);
  Matrix read(5, 6);
  EXPECT_GE(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data()), 0);
  EXPECT_THAT(read.span(), ElementsAreArray(values.span()));
  H5Dclose(set);
  H5Fclose(file);
}

TEST(Archive, PrintsNothing) {
  const TemporaryFolder folder;
  Archive archive = Archive::open(folder / "a", "key");
  ::testing::internal::CaptureStderr();
  // A folder where the temporary file would be made: removed, so that HDF5 itself fails.
  archive.lock();
  std::filesystem::remove_all(folder / "a");
  EXPECT_THAT(testing::message([&] { archive.write("x", std::vector<double>{1}); }),
              HasSubstr("item \"x\": creating an HDF5 file failed"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

RC_GTEST_PROP(Archive, AnyNameAndBytesRoundTrip, ()) {
  auto name = *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::arbitrary<char>()));
  if (name.size() > 40) name.resize(40);
  const auto text = *rc::gen::container<std::vector<std::uint8_t>>(rc::gen::arbitrary<std::uint8_t>());
  const TemporaryFolder folder;
  Archive archive = Archive::open(folder / "a", "key");
  const auto bytes = std::as_bytes(std::span(text));
  archive.write_bytes(name, bytes);
  RC_ASSERT(archive.names() == std::vector<std::string>{name});
  RC_ASSERT(std::ranges::equal(archive.read_bytes(name), bytes));
}

// What the child process of the next test writes as item i: sizes from nothing to 100 kB.
Matrix item(std::uint64_t i) { return random_matrix(Rng(i).below(160), 160, i); }

std::string item_name(std::uint64_t i) { return "layer/" + std::to_string(i); }

// Not a test: the child process. Writes items without end and says on a pipe which write() returned.
TEST(ArchiveChild, DISABLED_Writes) {
  const char* path = std::getenv("LCOMP_TEST_ARCHIVE");
  const char* pipe = std::getenv("LCOMP_TEST_PIPE");
  ASSERT_TRUE(path != nullptr && pipe != nullptr);
  Archive archive =
      Archive::open(path, "key", static_cast<ArchiveCompression>(std::atoi(std::getenv("LCOMP_TEST_COMPRESSION"))));
  for (std::uint64_t i = archive.names().size() + 1000;; ++i) {
    if (archive.contains(item_name(i))) continue;
    archive.write(item_name(i), item(i).view(), {{"number", std::to_string(i)}});
    if (::write(std::atoi(pipe), &i, sizeof i) != sizeof i) return;
  }
}

class SlowArchiveKill : public ::testing::TestWithParam<ArchiveCompression> {};

// A child that writes is killed by SIGKILL at a random moment, forty times over the same archive. Every item whose
// write() returned must be there and every item that is there must be whole.
TEST_P(SlowArchiveKill, NothingWrittenIsLostAndNothingIsHalf) {
  const TemporaryFolder folder;
  const std::string path = (folder / "a").string();
  std::set<std::string> acknowledged;
  std::size_t interrupted = 0;
  Rng rng(static_cast<std::uint64_t>(GetParam()));
  for (int round = 0; round < 40; ++round) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    ::setenv("LCOMP_TEST_ARCHIVE", path.c_str(), 1);
    ::setenv("LCOMP_TEST_PIPE", std::to_string(pipe[1]).c_str(), 1);
    ::setenv("LCOMP_TEST_COMPRESSION", std::to_string(static_cast<int>(GetParam())).c_str(), 1);
    const pid_t child = ::fork();
    if (child == 0) {
      const int null = ::open("/dev/null", O_WRONLY);
      ::dup2(null, 1);
      ::execl("/proc/self/exe", "test_io", "--gtest_also_run_disabled_tests", "--gtest_filter=ArchiveChild.*", nullptr);
      ::_exit(127);
    }
    ::close(pipe[1]);
    // Wait for a first item of this round, then some time up to 20 ms.
    std::uint64_t written = 0;
    ASSERT_EQ(::read(pipe[0], &written, sizeof written), static_cast<ssize_t>(sizeof written));
    acknowledged.insert(item_name(written));
    std::this_thread::sleep_for(std::chrono::microseconds(rng.below(20000)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    while (::read(pipe[0], &written, sizeof written) == static_cast<ssize_t>(sizeof written))
      acknowledged.insert(item_name(written));
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      interrupted += entry.path().extension() == ".tmp" ? 1 : 0;
    }
  }
  Archive archive = Archive::open(path, "key");
  const auto names = archive.names();
  for (const std::string& wanted : acknowledged) EXPECT_TRUE(archive.contains(wanted)) << wanted;
  for (const std::string& name : names) {
    const std::uint64_t number = std::stoull(archive.attributes(name).at("number"));
    EXPECT_EQ(name, item_name(number));
    EXPECT_THAT(archive.read(name).span(), ElementsAreArray(item(number).span()));
  }
  std::printf("%zu items, %zu acknowledged, %zu kills in the middle of an item\n", names.size(), acknowledged.size(),
              interrupted);
  EXPECT_GT(interrupted, 0u);  // else the test did not test
  archive.lock();              // cleans up
  for (const auto& entry : std::filesystem::directory_iterator(path)) EXPECT_NE(entry.path().extension(), ".tmp");
}

INSTANTIATE_TEST_SUITE_P(All, SlowArchiveKill, ::testing::Values(ArchiveCompression::gzip, ArchiveCompression::zstd));

}  // namespace
}  // namespace lcomp
