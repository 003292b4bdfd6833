#include "linear.h"

#include <fmt/format.h>

#include <cassert>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "matvec.h"

namespace lcomp {

using dnnl::memory;

struct LinearWeight::Packed {
  memory weight;
};

LinearWeight::LinearWeight() = default;
LinearWeight::~LinearWeight() = default;
LinearWeight::LinearWeight(LinearWeight&&) noexcept = default;
LinearWeight& LinearWeight::operator=(LinearWeight&&) noexcept = default;

void LinearWeight::resize(std::size_t out_features, std::size_t in_features, bool has_bias) {
  out_features_ = out_features;
  in_features_ = in_features;
  bias_size_ = has_bias ? out_features : 0;
  packed_.reset();
  if (values_.size() < out_features * in_features) values_ = AlignedBuffer<float>(out_features * in_features);
  if (bias_.size() < bias_size_) bias_ = AlignedBuffer<float>(bias_size_);
}

MatrixView<float> LinearWeight::weight() { return {values_.data(), out_features_, in_features_}; }
ConstMatrixView LinearWeight::weight() const { return {values_.data(), out_features_, in_features_}; }
std::span<float> LinearWeight::bias() { return {bias_.data(), bias_size_}; }
std::span<const float> LinearWeight::bias() const { return {bias_.data(), bias_size_}; }

namespace {

constexpr std::size_t few_rows = 4;
constexpr std::size_t small_product = 1 << 20;  // multiplications that take less time than waking another thread

struct Shape {
  std::size_t rows, in_features, out_features;
  bool bias;
  std::size_t threads;
  auto operator<=>(const Shape&) const = default;
};

memory::dim dim(std::size_t n) { return static_cast<memory::dim>(n); }

}  // namespace

struct MatrixMultiplier::State {
  ComputeType compute;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Shape, dnnl::matmul> primitives;
  AlignedBuffer<std::uint16_t> rounded;  // x in bfloat16

  // The layout of a bfloat16 weight, whatever the number of rows it will meet.
  memory::desc packed_layout(const LinearWeight& weight) const {
    const memory::dims in = {256, dim(weight.in_features())}, out = {256, dim(weight.out_features())};
    const memory::desc x(in, memory::data_type::bf16, memory::format_tag::ab);
    const memory::desc w({in[1], out[1]}, memory::data_type::bf16, memory::format_tag::any);
    const memory::desc y(out, memory::data_type::f32, memory::format_tag::ab);
    return dnnl::matmul::primitive_desc(dnnl::matmul::desc(x, w, y), engine).weights_desc();
  }

  const dnnl::matmul& primitive(const Shape& shape, const memory::desc& x, const memory::desc& w,
                                const memory::desc& bias, const memory::desc& y) {
    const auto found = primitives.find(shape);
    if (found != primitives.end()) return found->second;
    if (primitives.size() >= 1024) primitives.clear();  // a caller with ever new sequence lengths
    const dnnl::matmul::desc description = shape.bias ? dnnl::matmul::desc(x, w, bias, y) : dnnl::matmul::desc(x, w, y);
    return primitives.emplace(shape, dnnl::matmul(dnnl::matmul::primitive_desc(description, engine))).first->second;
  }
};

MatrixMultiplier::MatrixMultiplier(ComputeType compute) : state_(std::make_unique<State>()) {
  state_->compute = compute;
}
MatrixMultiplier::~MatrixMultiplier() = default;
MatrixMultiplier::MatrixMultiplier(MatrixMultiplier&&) noexcept = default;
MatrixMultiplier& MatrixMultiplier::operator=(MatrixMultiplier&&) noexcept = default;

ComputeType MatrixMultiplier::compute() const { return state_->compute; }

namespace {

// oneDNN reports failures (out of memory, an unsupported primitive) by its own exception.
template <class F>
void guarded(F f) {
  try {
    f();
  } catch (const dnnl::error& error) {
    throw Error(ErrorKind::system, {"oneDNN", fmt::format("\"{}\"", error.what()), "", ""});
  }
}

}  // namespace

void MatrixMultiplier::finish(LinearWeight& weight, bool release) const {
  if (state_->compute == ComputeType::float32 || weight.empty()) return;
  guarded([&] {
    const memory::desc plain({dim(weight.in_features()), dim(weight.out_features())}, memory::data_type::f32,
                             memory::format_tag::ba);
    memory from(plain, state_->engine, weight.values_.data());
    memory to(state_->packed_layout(weight), state_->engine);
    dnnl::reorder(from, to).execute(state_->stream, from, to);
    state_->stream.wait();
    weight.packed_ = std::make_unique<LinearWeight::Packed>(LinearWeight::Packed{to});
  });
  if (release) weight.values_ = {};
}

void MatrixMultiplier::multiply(ConstMatrixView x, const LinearWeight& weight, MatrixView<float> y) {
  assert(x.contiguous() && y.contiguous() && x.rows() == y.rows());
  assert(x.cols() == weight.in_features() && y.cols() == weight.out_features());
  if (x.rows() == 0) return;
  const bool low = state_->compute == ComputeType::bfloat16;
  assert(low == (weight.packed_ != nullptr));
  if (!low && (x.rows() <= few_rows || x.rows() * x.cols() * y.cols() <= small_product)) {
    multiply_few(x, weight.weight(), weight.bias_size_ == 0 ? nullptr : weight.bias_.data(), y);
    return;
  }
  guarded([&] {
    State& s = *state_;
    const auto x_type = low ? memory::data_type::bf16 : memory::data_type::f32;
    const memory::desc x_desc({dim(x.rows()), dim(x.cols())}, x_type, memory::format_tag::ab);
    const memory::desc y_desc({dim(y.rows()), dim(y.cols())}, memory::data_type::f32, memory::format_tag::ab);
    const memory::desc bias_desc({1, dim(y.cols())}, memory::data_type::f32, memory::format_tag::ab);
    const memory::desc w_desc =
        low ? weight.packed_->weight.get_desc()
            : memory::desc({dim(x.cols()), dim(y.cols())}, memory::data_type::f32, memory::format_tag::ba);
    const bool bias = weight.bias_size_ != 0;
    const dnnl::matmul& matmul =
        s.primitive({x.rows(), x.cols(), y.cols(), bias, thread_count()}, x_desc, w_desc, bias_desc, y_desc);

    // oneDNN's handles are not const; it reads x, weight and bias only.
    void* x_data = const_cast<float*>(x.data());
    if (low) {
      if (s.rounded.size() < x.size()) s.rounded = AlignedBuffer<std::uint16_t>(x.size());
      parallel_for(
          0, x.rows(),
          [&](std::size_t i) { float_to_bfloat16(x.row(i), std::span(s.rounded.data() + i * x.cols(), x.cols())); },
          16);
      x_data = s.rounded.data();
    }
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, memory(x_desc, s.engine, x_data)},
        {DNNL_ARG_WEIGHTS,
         low ? weight.packed_->weight : memory(w_desc, s.engine, const_cast<float*>(weight.values_.data()))},
        {DNNL_ARG_DST, memory(y_desc, s.engine, y.data())},
    };
    if (bias) arguments.emplace(DNNL_ARG_BIAS, memory(bias_desc, s.engine, const_cast<float*>(weight.bias_.data())));
    matmul.execute(s.stream, arguments);
    s.stream.wait();
  });
}

}  // namespace lcomp
