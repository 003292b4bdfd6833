#include "lcomp/archive/workspace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct WorkspaceTest : ::testing::Test {
  testing::TemporaryFolder root;
  fs::path folder = root / "out.unfinished";
  Workspace work{folder, "setting"};
  Workspace other{folder, "another setting"};
  Workspace replacing{folder, "another setting", OtherWork::discard};
};

TEST_F(WorkspaceTest, OneWithoutAFolderKeepsNothing) {
  const Workspace none;
  EXPECT_FALSE(none);
  EXPECT_FALSE(none.part("weights", "key"));
  none.claim();
  none.clear();
}

TEST_F(WorkspaceTest, ItsOwnWorkStays) {
  work.claim();
  write_text_file(folder / "finished", "half of it");
  work.claim();
  EXPECT_EQ(read_text_file(folder / "finished"), "half of it");
}

TEST_F(WorkspaceTest, OtherWorkIsRefusedAndStays) {
  work.claim();
  write_text_file(folder / "finished", "half of it");
  const std::string message = testing::message([&] { other.claim(); });
  EXPECT_THAT(message, HasSubstr(folder.string()));
  EXPECT_THAT(message, HasSubstr("unfinished work of another compression"));
  EXPECT_THAT(message, HasSubstr("--replace"));
  EXPECT_EQ(read_text_file(folder / "finished"), "half of it");
}

TEST_F(WorkspaceTest, OtherWorkIsDiscardedButForWhatHasAKeyOfItsOwn) {
  work.claim();
  write_text_file(folder / "finished", "half of it");
  fs::create_directories(folder / "costs");
  replacing.claim({"costs"});
  EXPECT_FALSE(fs::exists(folder / "finished"));
  EXPECT_TRUE(fs::exists(folder / "costs"));
  other.claim();  // its own now
  EXPECT_THROW(work.claim(), Error);
}

TEST_F(WorkspaceTest, AFolderWithoutAMarkIsOtherWork) {
  fs::create_directories(folder);
  write_text_file(folder / "notes.txt", "somebody's");
  EXPECT_THROW(work.claim(), Error);
  EXPECT_TRUE(fs::exists(folder / "notes.txt"));
}

TEST_F(WorkspaceTest, ADamagedMarkIsOtherWork) {
  work.claim();
  write_text_file(folder / "finished", "half of it");
  write_text_file(folder / "work.json", "{\"format\": \"lcomp-wo");
  EXPECT_THROW(work.claim(), Error);
  work.begun_anew().claim();
  work.claim();
}

// A command that was refused after its claim is not in the way of the corrected one.
TEST_F(WorkspaceTest, AMarkAloneIsNoWork) {
  work.claim();
  other.claim();
  write_text_file(folder / "finished", "half of it");
  EXPECT_THROW(work.claim(), Error);
}

TEST_F(WorkspaceTest, PartsAddToTheKey) {
  const Workspace part = work.part("weights", "plan");
  EXPECT_EQ(part.folder(), folder / "weights");
  EXPECT_EQ(part.key(), "setting\nplan");
  EXPECT_EQ(work.part("weights").key(), "setting");
  EXPECT_EQ(replacing.part("weights").other_work(), OtherWork::discard);
}

TEST_F(WorkspaceTest, AnArchiveGoesOnOrBeginsAnew) {
  const std::vector<double> numbers = {1, 2};
  work.part("costs").archive().write("a", numbers);
  EXPECT_TRUE(work.part("costs").archive().contains("a"));
  EXPECT_THAT(testing::message([&] { other.part("costs").archive(); }), HasSubstr("unfinished work of another"));
  EXPECT_FALSE(replacing.part("costs").archive().contains("a"));
}

TEST_F(WorkspaceTest, AnArchiveAtWorkIsNotDiscarded) {
  const Archive at_work = replacing.archive();
  EXPECT_THROW(replacing.archive(), Error);
  EXPECT_TRUE(fs::exists(folder));
}

}  // namespace
}  // namespace lcomp
