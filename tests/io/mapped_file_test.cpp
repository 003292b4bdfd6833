#include "lcomp/io/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::string mapping_error(const std::filesystem::path& path) {
  try {
    const MappedFile file(path);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::user);
    return error.what();
  }
}

TEST(MappedFile, HoldsTheBytesOfTheFile) {
  const TemporaryFolder folder;
  write_text_file(folder / "a", "some bytes");
  const MappedFile file(folder / "a");
  EXPECT_EQ(text_of(file), "some bytes");
  EXPECT_EQ(file.path(), folder / "a");
}

TEST(MappedFile, EmptyFileIsAnEmptySpan) {
  const TemporaryFolder folder;
  write_text_file(folder / "a", "");
  const MappedFile file(folder / "a");
  EXPECT_TRUE(file.bytes().empty());
  file.release(0, 100);
}

TEST(MappedFile, Moves) {
  const TemporaryFolder folder;
  write_text_file(folder / "a", "first");
  write_text_file(folder / "b", "second");
  MappedFile a(folder / "a");
  MappedFile b(folder / "b");
  a = std::move(b);
  EXPECT_EQ(text_of(a), "second");
  const MappedFile c(std::move(a));
  EXPECT_EQ(text_of(c), "second");
  EXPECT_EQ(c.path(), folder / "b");
}

TEST(MappedFile, ReleasedBytesAreReadAgain) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += static_cast<char>('a' + i % 23);
  write_text_file(folder / "a", text);
  const MappedFile file(folder / "a");
  EXPECT_EQ(text_of(file), text);
  file.release(0, text.size());
  file.release(5000, 9000);
  file.release(99'999, static_cast<std::size_t>(-1));
  file.release(static_cast<std::size_t>(-1), 1);
  EXPECT_EQ(text_of(file), text);
}

TEST(MappedFile, OutlivesTheName) {
  const TemporaryFolder folder;
  write_text_file(folder / "a", "still here");
  const MappedFile file(folder / "a");
  std::filesystem::remove(folder / "a");
  EXPECT_EQ(text_of(file), "still here");
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(mapping_error(folder / "absent"),
              AllOf(HasSubstr((folder / "absent").string()), HasSubstr("No such file")));
  EXPECT_THAT(mapping_error(folder.path()), AllOf(HasSubstr(folder.path().string()), HasSubstr("is a folder")));
  EXPECT_THAT(mapping_error("/dev/null"), HasSubstr("is not an ordinary file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(mapping_error(folder / "pipe"), HasSubstr("is not an ordinary file"));
}

}  // namespace
}  // namespace lcomp
