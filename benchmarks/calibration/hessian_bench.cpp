// Gathering Hessians beside the products of the BLAS libraries, on the same rows in the same run. Items are
// floating-point operations: 2 n^2 a token for a whole product, n^2 for a triangle, so that equal items a second mean
// equal use of the machine. CPU time is that of all threads: set OMP_NUM_THREADS=1 to compare on a busy machine.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <oneapi/dnnl/dnnl.h>

#include "lcomp/calibration/hessian_accumulator.h"
#include "lcomp/calibration/input_statistics.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/residual_stream.h"

namespace {

using lcomp::Matrix;

constexpr std::size_t rows = 2048;

Matrix random_rows(std::size_t cols) {
  lcomp::Rng rng(7);
  Matrix values(rows, cols);
  for (float& v : values.span()) v = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

enum class Library { openblas_sgemm, onednn_sgemm, openblas_ssyrk, hessian, statistics };

void products(benchmark::State& state, Library library) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const Matrix x = random_rows(n);
  Matrix product;
  if (library != Library::hessian && library != Library::statistics) product = Matrix(n, n);
  lcomp::InputAccumulator sums(n);
  const auto size = static_cast<int>(n), tokens = static_cast<int>(rows);
  const auto long_size = static_cast<dnnl_dim_t>(n), long_tokens = static_cast<dnnl_dim_t>(rows);
  for (auto unused : state) {
    (void)unused;
    switch (library) {
      case Library::openblas_sgemm:
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, size, size, tokens, 1, x.data(), size, x.data(), size, 0,
                    product.data(), size);
        break;
      case Library::onednn_sgemm:
        dnnl_sgemm('T', 'N', long_size, long_size, long_tokens, 1, x.data(), long_size, x.data(), long_size, 0,
                   product.data(), long_size);
        break;
      case Library::openblas_ssyrk:
        cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, size, tokens, 1, x.data(), size, 0, product.data(), size);
        break;
      case Library::hessian:
        for (std::size_t row = 0; row < rows; row += 512) sums.hessian().add(x.view().rows_range(row, 512));
        break;
      case Library::statistics:
        for (std::size_t row = 0; row < rows; row += 512) {
          sums.add(x.view().rows_range(row, 512), [](std::size_t) { return std::string(); });
        }
        break;
    }
    benchmark::DoNotOptimize(product.data());
  }
  const bool whole = library == Library::openblas_sgemm || library == Library::onednn_sgemm;
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>((whole ? 2 : 1) * n * n * rows));
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("in_features")->Arg(576)->Arg(1536)->Arg(4096)->Arg(11008);
  bench->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
}
BENCHMARK_CAPTURE(products, openblas_sgemm, Library::openblas_sgemm)->Apply(sizes);
BENCHMARK_CAPTURE(products, onednn_sgemm, Library::onednn_sgemm)->Apply(sizes);
BENCHMARK_CAPTURE(products, openblas_ssyrk, Library::openblas_ssyrk)->Apply(sizes);
BENCHMARK_CAPTURE(products, hessian, Library::hessian)->Apply(sizes);
BENCHMARK_CAPTURE(products, statistics, Library::statistics)->Apply(sizes);

// The residual stream of 4096 tokens in 16 bits: bytes of float32 a second.
void residual_stream(benchmark::State& state, bool reading) {
  constexpr std::size_t tokens = 4096, hidden = 4096;
  Matrix states(tokens, hidden);
  lcomp::Rng rng(1);
  for (float& v : states.span()) v = static_cast<float>(rng.uniform(-1, 1));
  lcomp::ResidualStream stream(tokens, hidden, lcomp::ResidualStorage::scaled_half, std::uint64_t{1} << 40, "/tmp");
  stream.write(0, states.view());
  for (auto unused : state) {
    (void)unused;
    if (reading) {
      stream.read(0, states.view());
    } else {
      stream.write(0, states.view());
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(tokens * hidden * sizeof(float)));
}
BENCHMARK_CAPTURE(residual_stream, write, false)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(residual_stream, read, true)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

}  // namespace
