// Reading and writing a tensor of 32 Mi elements. Bytes per second are those of the float32 side (128 MiB), so that all
// lines compare with the memcpy of as many.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lcomp/core/matrix.h"
#include "lcomp/core/parallel.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

constexpr std::size_t kRows = 8192;
constexpr std::size_t kCols = 4096;
constexpr std::size_t kElements = kRows * kCols;

// A file with one tensor "w" of a type, removed at the end.
class File {
 public:
  File(DataType type, const std::vector<float>& values)
      : path_(std::filesystem::temp_directory_path() / ("lcomp-bench-" + std::to_string(::getpid()) + ".safetensors")) {
    SafetensorsWriter writer(path_, {{"w", type, {kRows, kCols}}});
    writer.write_float("w", values);
    writer.finish();
  }
  ~File() { std::filesystem::remove(path_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::vector<float> values() { return std::vector<float>(kElements, 1.5f); }

// Memory to decode to, already present.
AlignedBuffer<float> output() {
  AlignedBuffer<float> out(kElements);
  std::fill_n(out.data(), kElements, 0.0f);
  return out;
}

void count(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(4 * kElements));
}

void memcpy_baseline(benchmark::State& state) {
  const std::vector<float> in = values();
  AlignedBuffer<float> out = output();
  for (auto _ : state) {
    parallel_chunks(0, kElements, std::size_t{1} << 16, [&](std::size_t begin, std::size_t end) {
      std::memcpy(out.data() + begin, in.data() + begin, 4 * (end - begin));
    });
    benchmark::ClobberMemory();
  }
  count(state);
}
BENCHMARK(memcpy_baseline)->Unit(benchmark::kMillisecond)->UseRealTime();

// to_float from a mapped file whose pages are present.
void decode(benchmark::State& state, DataType type) {
  const File written(type, values());
  const SafetensorsFile file(written.path());
  AlignedBuffer<float> out = output();
  for (auto _ : state) {
    to_float(file.entry("w"), 0, out.span());
    benchmark::ClobberMemory();
  }
  count(state);
}
BENCHMARK_CAPTURE(decode, f32, DataType::f32)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(decode, f16, DataType::f16)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(decode, bf16, DataType::bf16)->Unit(benchmark::kMillisecond)->UseRealTime();

// As a pass over a model reads it: in the file cache of the system, mapped anew each time since the source releases
// what it read.
void read_rows(benchmark::State& state, DataType type) {
  const File written(type, values());
  const auto source = open_safetensors(written.path());
  AlignedBuffer<float> out = output();
  for (auto _ : state) {
    source->read_rows("w", 0, kRows, out.span());
    benchmark::ClobberMemory();
  }
  count(state);
}
BENCHMARK_CAPTURE(read_rows, f32, DataType::f32)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(read_rows, f16, DataType::f16)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(read_rows, bf16, DataType::bf16)->Unit(benchmark::kMillisecond)->UseRealTime();

// Convert, write, flush to disk, rename.
void write(benchmark::State& state, DataType type) {
  const std::vector<float> in = values();
  for (auto _ : state) const File written(type, in);
  count(state);
}
BENCHMARK_CAPTURE(write, f32, DataType::f32)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(write, f16, DataType::f16)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(write, bf16, DataType::bf16)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace lcomp
