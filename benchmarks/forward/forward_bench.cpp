// The forward pass of SmolLM2-135M (LCOMP_SMOLLM2 or models/smollm2-reference; skipped when absent), and the matrix
// products it consists of by the libraries at hand. Items are tokens for the model, floating-point operations for
// products.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>

#include "forward/attention.h"
#include "forward/linear.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/decoder.h"
#include "lcomp/forward/generation.h"
#include "lcomp/models/model_folder.h"

namespace {

using lcomp::Matrix;

std::filesystem::path model_path() {
  const char* path = std::getenv("LCOMP_SMOLLM2");
  return path != nullptr ? path : "models/smollm2-reference";
}

bool model_is_absent(benchmark::State& state) {
  if (std::filesystem::exists(model_path() / "config.json")) return false;
  state.SkipWithError("SmolLM2 is absent: set LCOMP_SMOLLM2 to its folder");
  return true;
}

lcomp::TokenBatch random_batch(std::size_t sequences, std::size_t length, std::size_t vocabulary) {
  lcomp::Rng rng(7);
  lcomp::TokenBatch batch;
  for (std::size_t s = 0; s < sequences; ++s) {
    std::vector<std::int32_t> ids(length);
    for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(vocabulary));
    batch.add(ids);
  }
  return batch;
}

Matrix random_matrix(std::size_t rows, std::size_t cols) {
  lcomp::Rng rng(rows * 31 + cols);
  Matrix values(rows, cols);
  for (float& v : values.span()) v = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

// Forward and the logits of every position; weights in memory when range(2) is 1.
void forward(benchmark::State& state) {
  if (model_is_absent(state)) return;
  lcomp::Decoder decoder(lcomp::open_model(model_path()));
  if (state.range(2) == 1) decoder.load_all();
  const auto batch = random_batch(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)),
                                  decoder.config().vocab_size);
  const std::size_t rows = std::min<std::size_t>(batch.tokens(), 512);
  Matrix logits(rows, decoder.config().vocab_size);
  for (auto unused : state) {
    (void)unused;
    const Matrix normed = decoder.forward(batch);
    for (std::size_t begin = 0; begin < batch.tokens(); begin += rows) {
      decoder.logits(normed.view().rows_range(begin, std::min(rows, batch.tokens() - begin)), logits.view());
    }
    benchmark::DoNotOptimize(logits.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.tokens()));
}
BENCHMARK(forward)
    ->ArgNames({"sequences", "length", "resident"})
    ->Args({1, 512, 1})
    ->Args({1, 512, 0})
    ->Args({8, 64, 1})
    ->Args({1, 2048, 1})
    ->Args({4, 2048, 0})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// One token after a context of range(0) tokens.
void next_token(benchmark::State& state) {
  if (model_is_absent(state)) return;
  lcomp::Decoder decoder(lcomp::open_model(model_path()));
  lcomp::GenerationSession session(decoder);
  const auto length = static_cast<std::size_t>(state.range(0));
  session.append(random_batch(1, length, decoder.config().vocab_size).ids);
  const std::int32_t id = 17;
  for (auto unused : state) {
    (void)unused;
    benchmark::DoNotOptimize(session.append({&id, 1}).data());
    session.truncate(length);
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * 4 *
                          static_cast<std::int64_t>(decoder.model().parameters()));  // of weights
}
BENCHMARK(next_token)->ArgName("context")->Arg(16)->Arg(1024)->Unit(benchmark::kMillisecond)->UseRealTime();

void attention(benchmark::State& state) {
  const auto tokens = static_cast<std::size_t>(state.range(0));
  lcomp::AttentionShape shape;
  shape.num_heads = 9;
  shape.num_key_value_heads = 3;
  shape.head_dim = 64;
  shape.scale = 0.125f;
  const Matrix q = random_matrix(tokens, 576), k = random_matrix(tokens, 192), v = random_matrix(tokens, 192);
  lcomp::KeyValueCache cache(3, 64);
  cache.append(k.view(), v.view());
  const lcomp::AttentionSpan spans[] = {{0, tokens, 0, &cache}};
  lcomp::AttentionScratch scratch;
  Matrix out(tokens, 576);
  for (auto unused : state) {
    (void)unused;
    lcomp::attention(shape, spans, q.view(), out.view(), scratch);
    benchmark::DoNotOptimize(out.data());
  }
  // Multiplications and additions of the scores that causality leaves, twice (q k and p v).
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(9 * tokens * (tokens + 1) / 2 * 64 * 4));
}
BENCHMARK(attention)->Arg(512)->Arg(2048)->Unit(benchmark::kMicrosecond)->UseRealTime();

enum class Library { openblas, onednn_sgemm, onednn_packed, ours };

// y [tokens, out] = x [tokens, in] W^T.
void product(benchmark::State& state, Library library) {
  using dnnl::memory;
  const std::int64_t n = state.range(0), k = state.range(1), m = state.range(2);
  const Matrix x = random_matrix(static_cast<std::size_t>(n), static_cast<std::size_t>(k));
  Matrix y(static_cast<std::size_t>(n), static_cast<std::size_t>(m));
  Matrix w = random_matrix(static_cast<std::size_t>(m), static_cast<std::size_t>(k));
  lcomp::LinearWeight weight;
  lcomp::MatrixMultiplier multiplier(lcomp::ComputeType::float32);
  multiplier.pack(w.view(), {}, weight);

  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc x_desc({n, k}, memory::data_type::f32, memory::format_tag::ab);
  const memory::desc y_desc({n, m}, memory::data_type::f32, memory::format_tag::ab);
  const memory::desc any({k, m}, memory::data_type::f32, memory::format_tag::any);
  const memory::desc plain({k, m}, memory::data_type::f32, memory::format_tag::ba);
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(x_desc, any, y_desc), engine);
  const dnnl::matmul matmul(description);
  memory packed(description.weights_desc(), engine), unpacked(plain, engine, w.data());
  dnnl::reorder(unpacked, packed).execute(stream, unpacked, packed);
  stream.wait();
  memory x_memory(x_desc, engine, const_cast<float*>(x.data())), y_memory(y_desc, engine, y.data());

  for (auto unused : state) {
    (void)unused;
    switch (library) {
      case Library::openblas:
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(n), static_cast<int>(m),
                    static_cast<int>(k), 1, x.data(), static_cast<int>(k), w.data(), static_cast<int>(k), 0, y.data(),
                    static_cast<int>(m));
        break;
      case Library::onednn_sgemm:
        dnnl::sgemm('N', 'T', n, m, k, 1, x.data(), k, w.data(), k, 0, y.data(), m);
        break;
      case Library::onednn_packed:
        matmul.execute(stream, {{DNNL_ARG_SRC, x_memory}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, y_memory}});
        stream.wait();
        break;
      case Library::ours:
        multiplier.multiply(x.view(), weight, y.view());
        break;
    }
    benchmark::DoNotOptimize(y.data());
  }
  state.SetItemsProcessed(state.iterations() * 2 * n * k * m);
  state.SetBytesProcessed(state.iterations() * 4 * k * m);  // of the weight
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"tokens", "in", "out"});
  for (const std::int64_t tokens : {1, 2, 4, 8, 16, 512}) {
    bench->Args({tokens, 576, 576})->Args({tokens, 576, 960})->Args({tokens, 576, 3072})->Args({tokens, 1536, 576});
    bench->Args({tokens, 576, 49152});
  }
  bench->Unit(benchmark::kMicrosecond)->UseRealTime();
}
BENCHMARK_CAPTURE(product, openblas, Library::openblas)->Apply(shapes);
BENCHMARK_CAPTURE(product, onednn_sgemm, Library::onednn_sgemm)->Apply(shapes);
BENCHMARK_CAPTURE(product, onednn_packed, Library::onednn_packed)->Apply(shapes);
BENCHMARK_CAPTURE(product, ours, Library::ours)->Apply(shapes);

}  // namespace
