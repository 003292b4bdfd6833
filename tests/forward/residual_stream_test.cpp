#include "lcomp/forward/residual_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

constexpr std::uint64_t in_memory = std::uint64_t{1} << 40;

// Tokens of very different sizes; one channel a thousand times the others, as massive activations are.
Matrix random_states(std::size_t tokens, std::size_t hidden) {
  Rng rng(4);
  Matrix states(tokens, hidden);
  for (std::size_t t = 0; t < tokens; ++t) {
    const double size = std::pow(10.0, rng.uniform(-6, 7));
    for (std::size_t j = 0; j < hidden; ++j)
      states(t, j) = static_cast<float>(size * rng.normal() * (j == 5 ? 1000 : 1));
  }
  return states;
}

Matrix read_all(const ResidualStream& stream) {
  Matrix states(stream.tokens(), stream.hidden());
  stream.read(0, states.view());
  return states;
}

TEST(ResidualStream, ScaledHalfKeepsEveryValueTo2ToTheMinus11) {
  const testing::TemporaryFolder folder;
  const Matrix states = random_states(300, 64);
  ResidualStream stream(300, 64, ResidualStorage::scaled_half, in_memory, folder.path());
  stream.write(0, states.view());
  EXPECT_EQ(stream.bytes(), 300U * (2 * 64 + 4));
  const Matrix back = read_all(stream);
  for (std::size_t t = 0; t < 300; ++t) {
    float largest = 0;
    for (const float v : states.row(t)) largest = std::max(largest, std::abs(v));
    for (std::size_t j = 0; j < 64; ++j) {
      const double bound = std::max(std::ldexp(std::abs(static_cast<double>(states(t, j))), -11),
                                    std::ldexp(static_cast<double>(largest), -39));
      EXPECT_LE(std::abs(static_cast<double>(back(t, j)) - static_cast<double>(states(t, j))), bound);
    }
  }
}

TEST(ResidualStream, WhatWasReadIsStoredUnchanged) {
  const testing::TemporaryFolder folder;
  ResidualStream stream(300, 64, ResidualStorage::scaled_half, in_memory, folder.path());
  stream.write(0, random_states(300, 64).view());
  const Matrix once = read_all(stream);
  stream.write(0, once.view());
  EXPECT_TRUE(std::ranges::equal(read_all(stream).span(), once.span()));
}

TEST(ResidualStream, ExtremeValues) {
  const testing::TemporaryFolder folder;
  Matrix states(6, 3);
  states.fill(0);
  states(1, 0) = 3e38F, states(1, 1) = -3e38F;
  states(2, 0) = 1e-38F, states(2, 2) = -1e-38F;
  states(3, 0) = 65519, states(3, 1) = 65520;  // where plain 16-bit floats end
  states(4, 1) = NAN;
  states(5, 1) = -INFINITY;
  ResidualStream stream(6, 3, ResidualStorage::scaled_half, in_memory, folder.path());
  stream.write(0, states.view());
  const Matrix back = read_all(stream);
  for (std::size_t t = 0; t < 4; ++t) {
    for (std::size_t j = 0; j < 3; ++j)
      EXPECT_NEAR(back(t, j) / (states(t, j) == 0 ? 1 : states(t, j)), states(t, j) != 0, 5e-4);
  }
  EXPECT_TRUE(std::isnan(back(4, 1)));
  EXPECT_EQ(back(5, 1), -INFINITY);
}

TEST(ResidualStream, Float32IsExact) {
  const testing::TemporaryFolder folder;
  const Matrix states = random_states(40, 30);
  for (const std::uint64_t limit : {in_memory, std::uint64_t{0}}) {
    ResidualStream stream(40, 30, ResidualStorage::float32, limit, folder.path());
    stream.write(0, states.view());
    EXPECT_TRUE(std::ranges::equal(read_all(stream).span(), states.span()));
  }
}

// More than the 4 MiB that are moved at a time, written and read in pieces.
TEST(ResidualStream, OnDiskIsAsInMemory) {
  const testing::TemporaryFolder folder;
  constexpr std::size_t tokens = 20000, hidden = 128;
  const Matrix states = random_states(tokens, hidden);
  ResidualStream memory(tokens, hidden, ResidualStorage::scaled_half, in_memory, folder.path());
  ResidualStream disk(tokens, hidden, ResidualStorage::scaled_half, 1 << 20, folder.path());
  EXPECT_FALSE(memory.on_disk());
  EXPECT_TRUE(disk.on_disk());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "the file has a name";
  for (ResidualStream* stream : {&memory, &disk}) {
    stream->write(0, states.view().rows_range(0, 17000));
    stream->write(17000, states.view().rows_range(17000, 3000));
  }
  EXPECT_TRUE(std::ranges::equal(read_all(memory).span(), read_all(disk).span()));
  Matrix part(5, hidden);
  disk.read(16998, part.view());
  const Matrix all = read_all(memory);
  EXPECT_TRUE(std::ranges::equal(part.span(), all.span().subspan(16998 * hidden, 5 * hidden)));
}

TEST(ResidualStream, LimitIsInclusive) {
  const testing::TemporaryFolder folder;
  EXPECT_FALSE(ResidualStream(10, 6, ResidualStorage::scaled_half, 160, folder.path()).on_disk());
  EXPECT_TRUE(ResidualStream(10, 6, ResidualStorage::scaled_half, 159, folder.path()).on_disk());
}

TEST(ResidualStream, SavedAndLoaded) {
  const testing::TemporaryFolder folder;
  const auto file = folder / "saved";
  ResidualStream stream(500, 33, ResidualStorage::scaled_half, in_memory, folder.path());
  stream.write(0, random_states(500, 33).view());
  stream.save(file, "key");
  const Matrix expected = read_all(stream);
  for (const std::uint64_t limit : {in_memory, std::uint64_t{0}}) {
    ResidualStream other(500, 33, ResidualStorage::scaled_half, limit, folder.path());
    EXPECT_FALSE(other.load(folder / "absent", "key"));
    EXPECT_FALSE(other.load(file, "another key"));
    EXPECT_TRUE(other.load(file, "key"));
    EXPECT_TRUE(std::ranges::equal(read_all(other).span(), expected.span()));
  }
  EXPECT_FALSE(ResidualStream(500, 32, ResidualStorage::scaled_half, in_memory, folder.path()).load(file, "key"));
  EXPECT_FALSE(ResidualStream(500, 33, ResidualStorage::float32, in_memory, folder.path()).load(file, "key"));
}

TEST(ResidualStream, DamagedFilesAreNotLoaded) {
  const testing::TemporaryFolder folder;
  const auto file = folder / "saved";
  ResidualStream stream(50, 33, ResidualStorage::scaled_half, in_memory, folder.path());
  stream.write(0, random_states(50, 33).view());
  stream.save(file, "key");
  const auto size = std::filesystem::file_size(file);
  for (const std::uintmax_t at : {std::uintmax_t{0}, size / 2, size - 1}) {
    std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekg(static_cast<std::streamoff>(at));
    const char before = static_cast<char>(damaged.get());
    damaged.seekp(static_cast<std::streamoff>(at));
    damaged.put(static_cast<char>(before ^ 1));
    damaged.flush();
    EXPECT_FALSE(stream.load(file, "key")) << at;
    damaged.seekp(static_cast<std::streamoff>(at));
    damaged.put(before);
  }
  EXPECT_TRUE(stream.load(file, "key"));
  std::filesystem::resize_file(file, size - 1);
  EXPECT_FALSE(stream.load(file, "key"));
}

TEST(ResidualStream, AFolderThatIsNotThereIsAnError) {
  try {
    ResidualStream(10, 10, ResidualStorage::scaled_half, 0, "/nonexistent/folder");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.parts().where, "/nonexistent/folder");
  }
}

}  // namespace
}  // namespace lcomp
