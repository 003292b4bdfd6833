// Encoding, decoding and loading of the real tokenizers that are there, in bytes of text per second on one thread,
// beside copying the text.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lcomp/io/atomic_file.h"
#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {
namespace {

std::filesystem::path from_environment(const char* variable, const char* otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

std::vector<std::pair<std::string, std::filesystem::path>> tokenizers() {
  const auto shared = from_environment("LCOMP_SHARED", "../shared") / "tokenizers";
  std::vector<std::pair<std::string, std::filesystem::path>> found = {
      {"smollm2", shared / "smollm2" / "tokenizer.json"}, {"llama2-spm", shared / "llama2" / "tokenizer.model"}};
  for (const char* name : {"llama2", "llama3", "qwen3", "gemma", "gemma3"}) {
    found.emplace_back(name, from_environment("LCOMP_TOKENIZERS", "models/tokenizers") / name / "tokenizer.json");
  }
  std::erase_if(found, [](const auto& tokenizer) { return !std::filesystem::exists(tokenizer.second); });
  return found;
}

// About a megabyte of English.
const std::string& text() {
  static const std::string content = [] {
    const auto path = from_environment("LCOMP_DATA", "../shared/data") / "wikitext2" / "wiki.test.raw";
    if (std::filesystem::exists(path)) return read_text_file(path);
    std::string words;
    for (int i = 0; i < 30'000; ++i)
      words += "It was the best of times, it was the worst (" + std::to_string(i) + ").\n";
    return words;
  }();
  return content;
}

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(text().size()));
}

void copy_baseline(benchmark::State& state) {
  for (auto _ : state) {
    std::string copy = text();
    benchmark::DoNotOptimize(copy.data());
  }
  count_bytes(state);
}

void encode_warm(benchmark::State& state, const std::filesystem::path& path) {
  const auto tokenizer = load_tokenizer(path);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->encode(text(), false));
  count_bytes(state);
}

// The first text that a tokenizer sees: no word is known yet.
void encode_cold(benchmark::State& state, const std::filesystem::path& path) {
  for (auto _ : state) {
    state.PauseTiming();
    auto tokenizer = load_tokenizer(path);
    state.ResumeTiming();
    benchmark::DoNotOptimize(tokenizer->encode(text(), false));
    state.PauseTiming();
    tokenizer.reset();
    state.ResumeTiming();
  }
  count_bytes(state);
}

// One word of a megabyte: the queue of merges alone.
void encode_one_word(benchmark::State& state, const std::filesystem::path& path) {
  const auto tokenizer = load_tokenizer(path);
  const std::string word(text().size(), 'a');
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->encode(word, false));
  count_bytes(state);
}

void decode(benchmark::State& state, const std::filesystem::path& path) {
  const auto tokenizer = load_tokenizer(path);
  const auto ids = tokenizer->encode(text(), false);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->decode(ids));
  count_bytes(state);
}

void load(benchmark::State& state, const std::filesystem::path& path) {
  for (auto _ : state) benchmark::DoNotOptimize(load_tokenizer(path));
}

const int registered = [] {
  benchmark::RegisterBenchmark("copy", copy_baseline);
  for (const auto& [name, path] : tokenizers()) {
    benchmark::RegisterBenchmark(("encode/" + name).c_str(), encode_warm, path)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("encode_cold/" + name).c_str(), encode_cold, path)
        ->Unit(benchmark::kMillisecond)
        ->Iterations(3);
    benchmark::RegisterBenchmark(("encode_one_word/" + name).c_str(), encode_one_word, path)
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("decode/" + name).c_str(), decode, path)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("load/" + name).c_str(), load, path)->Unit(benchmark::kMillisecond);
  }
  return 0;
}();

}  // namespace
}  // namespace lcomp
