#include "forward/linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/kernels/activation_transform.h"
#include "lcomp/kernels/integer_matmul.h"

namespace lcomp {

using dnnl::memory;

struct LinearWeight::Packed {
  memory::desc layout;
  AlignedBuffer<std::uint8_t> bytes;
  std::vector<float> bias;
};

struct LinearWeight::PackedIntegers {
  struct Part {
    IntegerWeight weight;  // with rotated outputs, all rows of the blocks that the part's are of
    std::size_t outputs = 0;
    std::size_t row_begin = 0, first_row = 0;  // of the part, and of `weight`, in the stored weight
    bool symmetric = true;
    std::optional<InputGrid> input;
    ActivationTransform transform;
    bool shares_codes = false;  // its input becomes the same codes as that of the part before
  };
  std::vector<Part> parts;
  std::vector<float> bias;
};

LinearWeight::LinearWeight() = default;
LinearWeight::~LinearWeight() = default;
LinearWeight::LinearWeight(LinearWeight&&) noexcept = default;
LinearWeight& LinearWeight::operator=(LinearWeight&&) noexcept = default;

namespace {

// Whether a product takes less time than waking another thread. A weight costs as much to fetch as about four
// multiplications.
bool is_small(std::size_t multiplications, std::size_t weights) { return multiplications + 4 * weights <= (1 << 20); }

struct Shape {
  std::size_t rows, in_features, out_features;
  bool bias;
  std::size_t threads;
  auto operator<=>(const Shape&) const = default;
};

// oneDNN fixes the number of threads of a product when it is made.
class ThreadCountScope {
 public:
  explicit ThreadCountScope(std::size_t count) : before_(thread_count()) {
    if (count != before_) set_thread_count(count);
  }
  ~ThreadCountScope() {
    if (thread_count() != before_) set_thread_count(before_);
  }
  ThreadCountScope(const ThreadCountScope&) = delete;
  ThreadCountScope& operator=(const ThreadCountScope&) = delete;

 private:
  std::size_t before_;
};

memory::dim dim(std::size_t n) { return static_cast<memory::dim>(n); }

memory::desc plain(std::size_t rows, std::size_t cols, memory::data_type type) {
  return {{dim(rows), dim(cols)}, type, memory::format_tag::ab};
}

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

struct MatrixMultiplier::State {
  ComputeType compute = ComputeType::float32;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Shape, dnnl::matmul> primitives;
  AlignedBuffer<std::uint16_t> rounded;  // x in bfloat16
  AlignedBuffer<float> transformed;      // x in the basis of a weight
  QuantizedRows codes;                   // x in integers
  AlignedBuffer<float> rotated;          // outputs in the basis of a weight

  memory::data_type operand() const {
    return compute == ComputeType::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  }

  // The layout that oneDNN prefers for many rows. It is used for any number of rows.
  memory::desc packed_layout(std::size_t out_features, std::size_t in_features) const {
    constexpr std::size_t rows = 512;
    const memory::desc any({dim(in_features), dim(out_features)}, operand(), memory::format_tag::any);
    const dnnl::matmul::desc description(plain(rows, in_features, operand()), any,
                                         plain(rows, out_features, memory::data_type::f32));
    return dnnl::matmul::primitive_desc(description, engine).weights_desc();
  }

  const dnnl::matmul& primitive(const Shape& shape, const memory::desc& weight) {
    const auto found = primitives.find(shape);
    if (found != primitives.end()) return found->second;
    if (primitives.size() >= 1024) primitives.clear();  // a caller with ever new sequence lengths
    const memory::desc x = plain(shape.rows, shape.in_features, operand());
    const memory::desc y = plain(shape.rows, shape.out_features, memory::data_type::f32);
    const memory::desc bias = plain(1, shape.out_features, memory::data_type::f32);
    const dnnl::matmul::desc description =
        shape.bias ? dnnl::matmul::desc(x, weight, bias, y) : dnnl::matmul::desc(x, weight, y);
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

void MatrixMultiplier::pack(ConstMatrixView weight, std::span<const float> bias, LinearWeight& out) const {
  assert(bias.empty() || bias.size() == weight.rows());
  pack_floats(weight, false, out);
  out.packed_->bias.assign(bias.begin(), bias.end());
}

void MatrixMultiplier::pack_transposed(ConstMatrixView weight, LinearWeight& out) const {
  pack_floats(weight, true, out);
  out.packed_->bias.clear();
}

void MatrixMultiplier::pack_floats(ConstMatrixView weight, bool transposed, LinearWeight& out) const {
  assert(weight.contiguous());
  if (out.packed_ == nullptr) out.packed_ = std::make_unique<LinearWeight::Packed>();
  LinearWeight::Packed& packed = *out.packed_;
  out.integers_.reset();
  out.out_features_ = transposed ? weight.cols() : weight.rows();
  out.in_features_ = transposed ? weight.rows() : weight.cols();
  const ThreadCountScope threads(is_small(0, 4 * weight.size()) ? 1 : thread_count());
  guarded([&] {
    packed.layout = state_->packed_layout(out.out_features_, out.in_features_);
    if (packed.bytes.size() < packed.layout.get_size())
      packed.bytes = AlignedBuffer<std::uint8_t>(packed.layout.get_size());
    const memory::desc rows({dim(out.in_features_), dim(out.out_features_)}, memory::data_type::f32,
                            transposed ? memory::format_tag::ab : memory::format_tag::ba);
    // oneDNN's handles are not const; it only reads the weight.
    memory from(rows, state_->engine, const_cast<float*>(weight.data()));
    memory to(packed.layout, state_->engine, packed.bytes.data());
    dnnl::reorder(from, to).execute(state_->stream, from, to);
    state_->stream.wait();
  });
}

void MatrixMultiplier::pack(std::span<const IntegerPart> parts, std::span<const float> bias, LinearWeight& out) const {
  if (out.integers_ == nullptr) out.integers_ = std::make_unique<LinearWeight::PackedIntegers>();
  LinearWeight::PackedIntegers& packed = *out.integers_;
  out.packed_.reset();
  packed.parts.resize(parts.size());
  packed.bias.assign(bias.begin(), bias.end());
  out.out_features_ = 0;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const IntegerPart& part = parts[p];
    LinearWeight::PackedIntegers::Part& to = packed.parts[p];
    to.transform = activation_transform(part.weight);
    const std::size_t block = std::max<std::size_t>(1, to.transform.output_block);
    to.first_row = part.row_begin / block * block;
    const std::size_t last_row = divide_up(part.row_begin + part.rows, block) * block;
    to.weight.pack(part.weight, to.first_row, last_row - to.first_row, part.name);
    to.row_begin = part.row_begin;
    to.outputs = part.rows;
    to.symmetric = part.symmetric;
    to.input = part.input;
    to.shares_codes = p > 0 && to.input == packed.parts[p - 1].input && to.symmetric == packed.parts[p - 1].symmetric &&
                      to.transform.has_inputs_of(packed.parts[p - 1].transform);
    out.out_features_ += part.rows;
    out.in_features_ = to.weight.cols();
    assert(out.in_features_ == packed.parts.front().weight.cols());
  }
  assert(bias.empty() || bias.size() == out.out_features_);
}

void MatrixMultiplier::multiply_integers(ConstMatrixView x, const LinearWeight& weight, MatrixView<float> y) {
  const LinearWeight::PackedIntegers& packed = *weight.integers_;
  State& s = *state_;
  const auto room = [](AlignedBuffer<float>& buffer, std::size_t rows, std::size_t cols) {
    if (buffer.size() < rows * cols) buffer = AlignedBuffer<float>(rows * cols);
    return MatrixView<float>(buffer.data(), rows, cols);
  };
  std::size_t first_output = 0;
  for (const auto& part : packed.parts) {
    if (!part.shares_codes) {
      ConstMatrixView input = x;
      if (part.transform.changes_inputs()) {
        const MatrixView<float> transformed = room(s.transformed, x.rows(), x.cols());
        transform_inputs(part.transform, x, transformed);
        input = transformed;
      }
      if (part.input) {
        quantize_rows(input, *part.input, part.symmetric, s.codes);
      } else {
        quantize_rows(input, part.symmetric, s.codes);
      }
    }
    const std::span<const float> bias =
        packed.bias.empty() ? std::span<const float>() : std::span(packed.bias).subspan(first_output, part.outputs);
    const MatrixView<float> outputs = y.cols_range(first_output, part.outputs);
    if (part.transform.output_block == 0) {
      lcomp::multiply(s.codes, part.weight, bias, outputs);
    } else {
      const MatrixView<float> rotated = room(s.rotated, x.rows(), part.weight.rows());
      lcomp::multiply(s.codes, part.weight, {}, rotated);
      restore_outputs(part.transform, part.first_row, rotated);
      const ConstMatrixView restored = rotated.cols_range(part.row_begin - part.first_row, part.outputs);
      for (std::size_t i = 0; i < x.rows(); ++i) {
        const auto from = restored.row(i);
        const auto to = outputs.row(i);
        for (std::size_t o = 0; o < to.size(); ++o) to[o] = bias.empty() ? from[o] : from[o] + bias[o];
      }
    }
    first_output += part.outputs;
  }
}

void MatrixMultiplier::multiply(ConstMatrixView x, const LinearWeight& weight, MatrixView<float> y) {
  assert(x.contiguous() && y.contiguous() && x.rows() == y.rows());
  assert(x.cols() == weight.in_features() && y.cols() == weight.out_features());
  if (x.rows() == 0) return;
  if (weight.integers_ != nullptr) return multiply_integers(x, weight, y);
  State& s = *state_;
  LinearWeight::Packed& packed = *weight.packed_;
  void* x_data = const_cast<float*>(x.data());  // read only, as above
  if (s.compute == ComputeType::bfloat16) {
    if (s.rounded.size() < x.size()) s.rounded = AlignedBuffer<std::uint16_t>(x.size());
    parallel_chunks(0, x.size(), 1 << 16, [&](std::size_t begin, std::size_t end) {
      float_to_bfloat16(std::span(x.data() + begin, end - begin), std::span(s.rounded.data() + begin, end - begin));
    });
    x_data = s.rounded.data();
  }
  const ThreadCountScope threads(is_small(x.rows() * x.cols() * y.cols(), x.cols() * y.cols()) ? 1 : thread_count());
  guarded([&] {
    const bool bias = !packed.bias.empty();
    const dnnl::matmul& product = s.primitive({x.rows(), x.cols(), y.cols(), bias, thread_count()}, packed.layout);
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, memory(plain(x.rows(), x.cols(), s.operand()), s.engine, x_data)},
        {DNNL_ARG_WEIGHTS, memory(packed.layout, s.engine, packed.bytes.data())},
        {DNNL_ARG_DST, memory(plain(y.rows(), y.cols(), memory::data_type::f32), s.engine, y.data())},
    };
    if (bias) {
      arguments.emplace(DNNL_ARG_BIAS,
                        memory(plain(1, y.cols(), memory::data_type::f32), s.engine, packed.bias.data()));
    }
    product.execute(s.stream, arguments);
    s.stream.wait();
  });
}

void multiply_transposed(ConstMatrixView a, ConstMatrixView b, bool accumulate, MatrixView<float> sum) {
  assert(a.rows() == b.rows() && sum.rows() == a.cols() && sum.cols() == b.cols());
  if (a.rows() == 0) return;
  const std::size_t multiplications = sum.size() * a.rows();
  const ThreadCountScope threads(is_small(multiplications, a.size() + b.size()) ? 1 : thread_count());
  const dnnl::status status =
      dnnl::sgemm('T', 'N', dim(sum.rows()), dim(sum.cols()), dim(a.rows()), 1, a.data(), dim(a.stride()), b.data(),
                  dim(b.stride()), accumulate ? 1.0F : 0.0F, sum.data(), dim(sum.stride()));
  if (status != dnnl::status::success) {
    throw Error(ErrorKind::system,
                {"oneDNN", fmt::format("sgemm failed with status {}", static_cast<int>(status)), "", ""});
  }
}

}  // namespace lcomp
