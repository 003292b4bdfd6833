#include "quantizers/feedback/float_product.h"

#include <cassert>
#include <oneapi/dnnl/dnnl.hpp>

#include "lcomp/core/error.h"
#include "quantizers/feedback/single_threaded_blas.h"

namespace lcomp {
namespace {

void add_any_product(char transposed_a, char transposed_b, std::size_t inner, float factor, ConstMatrixView a,
                     ConstMatrixView b, MatrixView<float> c) {
  if (c.size() == 0 || inner == 0) return;
  const auto size = [](std::size_t n) { return static_cast<dnnl_dim_t>(n); };
  const SingleThreadedBlas alone;
  if (dnnl_sgemm(transposed_a, transposed_b, size(c.rows()), size(c.cols()), size(inner), factor, a.data(),
                 size(a.stride()), b.data(), size(b.stride()), 1.0f, c.data(), size(c.stride())) != dnnl_success) {
    throw Error(ErrorKind::system, {"oneDNN", "a matrix product failed", "", ""});
  }
}

}  // namespace

void add_product(ConstMatrixView a, ConstMatrixView b, MatrixView<float> c) {
  assert(a.cols() == b.rows() && c.rows() == a.rows() && c.cols() == b.cols());
  add_any_product('N', 'N', a.cols(), 1, a, b, c);
}

void add_transposed_product(ConstMatrixView a, ConstMatrixView b, MatrixView<float> c) {
  assert(a.rows() == b.rows() && c.rows() == a.cols() && c.cols() == b.cols());
  add_any_product('T', 'N', a.rows(), 1, a, b, c);
}

void add_product_with_transposed(float factor, ConstMatrixView a, ConstMatrixView b, MatrixView<float> c) {
  assert(a.cols() == b.cols() && c.rows() == a.rows() && c.cols() == b.rows());
  add_any_product('N', 'T', a.cols(), factor, a, b, c);
}

}  // namespace lcomp
