#include "lcomp/io/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "file_size_limit.h"
#include "lcomp/core/error.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FileSizeLimit;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryFolder;
using ::testing::UnorderedElementsAre;

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(folder)) names.push_back(item.path().filename().string());
  return names;
}

TEST(AtomicFile, AppearsWhenCommitted) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a.txt");
  file.write("some ");
  file.write(std::as_bytes(std::span("text", 4)));
  EXPECT_EQ(file.bytes_written(), 9u);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.txt"));
  file.commit();
  EXPECT_EQ(read_text_file(folder / "a.txt"), "some text");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a.txt"));
  EXPECT_THROW(file.commit(), Error);
  EXPECT_THROW(file.write("more"), Error);
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", "old");
  try {
    AtomicFile file(folder / "a.txt");
    file.write("new");
    throw std::runtime_error("something else failed");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(read_text_file(folder / "a.txt"), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a.txt"));
}

TEST(AtomicFile, ReplacesAnOlderFile) {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", "old and longer");
  write_text_file(folder / "a.txt", "new");
  EXPECT_EQ(read_text_file(folder / "a.txt"), "new");
}

TEST(AtomicFile, GathersSmallWritesAndPassesLargeOnes) {
  const TemporaryFolder folder;
  std::string expected;
  AtomicFile file(folder / "a", 12);  // the planned size need not be right
  for (std::size_t i = 0; i < 400; ++i) {
    const std::string piece(i * i, static_cast<char>('a' + i % 26));  // 0 .. 159201 bytes
    file.write(piece);
    expected += piece;
  }
  file.commit();
  EXPECT_EQ(file.bytes_written(), expected.size());
  EXPECT_TRUE(read_text_file(folder / "a") == expected);
}

TEST(AtomicFile, PlannedSpaceThatWasNotUsedIsGivenBack) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a", 1 << 20);
  file.write("short");
  file.commit();
  struct stat status {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 5);
  EXPECT_LE(status.st_blocks * 512, 64 * 1024);
}

// A full disk fails a write or, where the file system only notices then, the commit; either way in this one line.
void expect_full_disk(const std::filesystem::path& path, std::uint64_t planned, const std::string& room) {
  try {
    AtomicFile file(path, planned);
    for (int i = 0; i < 100; ++i) file.write(std::string(10'000, 'x'));
    file.commit();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::system);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(path.string()), HasSubstr(room), HasSubstr("free space")));
  }
}

TEST(AtomicFile, FullDiskIsASystemErrorThatSaysHowMuchWasToBeWritten) {
  const TemporaryFolder folder;
  const FileSizeLimit limit(500'000);
  expect_full_disk(folder / "a", 1'000'000, "room for 1000000 bytes");
  expect_full_disk(folder / "a", 0, "room for 5");  // the bytes up to then
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(AtomicFile, SaysWhyAFileCannotBeMade) {
  const TemporaryFolder folder;
  try {
    AtomicFile file(folder / "absent/a.txt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::user);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("absent/a.txt"), HasSubstr("No such file")));
  }
  EXPECT_THAT(testing::message([&] { AtomicFile file(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("is a folder")));
}

TEST(AtomicFile, ReadingTellsWhyItFails) {
  const TemporaryFolder folder;
  EXPECT_THROW(read_text_file(folder / "absent"), Error);
  EXPECT_THROW(read_text_file(folder.path()), Error);
  EXPECT_EQ(read_text_file("/dev/null"), "");
}

TEST(AtomicFolder, AppearsWhenCommitted) {
  const TemporaryFolder parent;
  AtomicFolder folder(parent / "runs/out", false);  // makes runs
  write_text_file(folder.path() / "a.txt", "a");
  std::filesystem::create_directory(folder.path() / "deeper");
  write_text_file(folder.path() / "deeper/b.txt", "b");
  EXPECT_FALSE(std::filesystem::exists(parent / "runs/out"));
  folder.commit();
  EXPECT_EQ(read_text_file(parent / "runs/out/a.txt"), "a");
  EXPECT_EQ(read_text_file(parent / "runs/out/deeper/b.txt"), "b");
  EXPECT_THAT(names_in(parent / "runs"), ElementsAre("out"));
  EXPECT_THROW(folder.commit(), Error);
}

TEST(AtomicFolder, LeavesNothingWithoutCommit) {
  const TemporaryFolder parent;
  {
    const AtomicFolder folder(parent / "out", false);
    write_text_file(folder.path() / "a.txt", "a");
  }
  EXPECT_THAT(names_in(parent.path()), IsEmpty());
}

TEST(AtomicFolder, RemovesWhatAKilledProcessLeft) {
  const testing::TemporaryFolder parent;
  for (const char* left : {".out.123-0.tmp", ".out.77-12.tmp", ".out.tmp", ".out.1x-2.tmp", ".other.123-0.tmp"}) {
    std::filesystem::create_directory(parent / left);
    std::ofstream(parent / left / "weights") << "x";
  }
  const AtomicFolder first(parent / "out", false);
  {
    const AtomicFolder second(parent / "out", false);  // of a process at work
    EXPECT_TRUE(std::filesystem::exists(first.path()));
  }
  EXPECT_FALSE(std::filesystem::exists(parent / ".out.123-0.tmp"));
  EXPECT_FALSE(std::filesystem::exists(parent / ".out.77-12.tmp"));
  EXPECT_TRUE(std::filesystem::exists(parent / ".out.tmp"));
  EXPECT_TRUE(std::filesystem::exists(parent / ".out.1x-2.tmp"));
  EXPECT_TRUE(std::filesystem::exists(parent / ".other.123-0.tmp"));
}

TEST(AtomicFolder, ReplacesOnlyWhenAsked) {
  const TemporaryFolder parent;
  std::filesystem::create_directory(parent / "out");
  write_text_file(parent / "out/old.txt", "old");
  EXPECT_THAT(testing::message([&] { const AtomicFolder folder(parent / "out", false); }),
              AllOf(HasSubstr((parent / "out").string()), HasSubstr("exists")));
  AtomicFolder folder(parent / "out", true);
  write_text_file(folder.path() / "new.txt", "new");
  EXPECT_EQ(read_text_file(parent / "out/old.txt"), "old");  // untouched so far
  folder.commit();
  EXPECT_THAT(names_in(parent / "out"), ElementsAre("new.txt"));
  EXPECT_THAT(names_in(parent.path()), ElementsAre("out"));
}

TEST(AtomicFolder, DoesNotOverwriteWhatCameMeanwhile) {
  const TemporaryFolder parent;
  AtomicFolder folder(parent / "out", false);
  std::filesystem::create_directory(parent / "out");
  write_text_file(parent / "out/other.txt", "another's");
  EXPECT_THROW(folder.commit(), Error);
  EXPECT_THAT(names_in(parent / "out"), ElementsAre("other.txt"));
}

TEST(AtomicFolder, NeverReplacesAFile) {
  const TemporaryFolder parent;
  write_text_file(parent / "out", "a file");
  EXPECT_THROW(AtomicFolder(parent / "out", true), Error);
  EXPECT_EQ(read_text_file(parent / "out"), "a file");
}

TEST(AtomicFolder, TakesTrailingSlashesAndDots) {
  const TemporaryFolder parent;
  AtomicFolder folder(parent.path() / "x/../out/", false);
  EXPECT_EQ(folder.path().parent_path(), parent.path());
  folder.commit();
  EXPECT_THAT(names_in(parent.path()), UnorderedElementsAre("out"));
}

}  // namespace
}  // namespace lcomp
