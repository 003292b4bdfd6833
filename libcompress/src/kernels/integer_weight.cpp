#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/transformed_weight.h"
#include "lcomp/kernels/integer_matmul.h"

namespace lcomp {
namespace {

constexpr std::size_t most_columns = 32768;

template <typename T>
void reserve(AlignedBuffer<T>& buffer, std::size_t size) {
  if (buffer.size() < size) buffer = AlignedBuffer<T>(size);
}

}  // namespace

void IntegerWeight::require_packable(const CompressedWeightView& weight, const std::string& component) {
  if (const auto* transformed = std::get_if<TransformedView>(&weight)) {
    return require_packable(as_view(transformed->base), component);
  }
  const auto refuse = [&](std::string found, std::string expected) {
    throw Error({component, std::move(found), std::move(expected),
                 "leave activations in floating point, or store the weight otherwise"});
  };
  const auto* integers = std::get_if<GroupedIntegerView>(&weight);
  if (integers == nullptr) {
    refuse(fmt::format("a weight stored as {}, for products with 8-bit activations", describe(layout(weight))),
           "a weight of integers with scales (grouped integer)");
    return;
  }
  if (integers->bits < 2) refuse("1-bit codes, whose zero point is no integer", "2 to 8 bits");
  if (!integers->symmetric && integers->zero_storage != ZeroStorage::integer) {
    refuse("zero points in f16", "integers");
  }
  if (groups_per_row(*integers) > 1 && integers->group_size % 4 != 0) {
    refuse(fmt::format("groups of {} columns", integers->group_size), "a multiple of 4");
  }
  if (integers->group_size > most_columns) {
    refuse(fmt::format("a scale for {} columns, over which 32-bit sums may overflow", integers->group_size),
           fmt::format("groups of at most {}", most_columns));
  }
}

void IntegerWeight::pack(const CompressedWeightView& weight, std::size_t row_begin, std::size_t row_count,
                         const std::string& component) {
  if (const auto* transformed = std::get_if<TransformedView>(&weight)) {
    return pack(as_view(transformed->base), row_begin, row_count, component);
  }
  require_packable(weight, component);
  const auto& stored = std::get<GroupedIntegerView>(weight);
  assert(row_begin <= stored.rows && row_count <= stored.rows - row_begin);
  rows_ = row_count;
  cols_ = stored.cols;
  group_size_ = stored.group_size;
  has_zero_points_ = !stored.symmetric && stored.bits == 8;
  permutation_.clear();
  if (stored.permuted) permutation_ = decode_permutation(stored, component);
  const std::vector<float> scales = decode_scales(stored), zero_points = decode_zero_points(stored);

  const auto broken = std::find_if(scales.begin(), scales.end(), [](float s) { return !std::isfinite(s); });
  if (broken != scales.end()) {
    throw Error({component, fmt::format("a scale that is {}", *broken), "finite scales", "the file is damaged"});
  }

  const std::size_t per_row = groups();
  reserve(codes_, panels() * quads() * 4 * panel_rows);
  reserve(scales_, panels() * per_row * panel_rows);
  reserve(code_sums_, panels() * per_row * panel_rows);
  if (has_zero_points_) reserve(zero_points_, panels() * per_row * panel_rows);

  parallel_for(0, panels(), [&](std::size_t p) {
    std::int8_t* panel = codes_.data() + p * quads() * 4 * panel_rows;
    const std::size_t first = p * panel_rows, last = std::min(first + panel_rows, rows_);
    if (last - first < panel_rows) std::fill_n(panel, quads() * 4 * panel_rows, std::int8_t{0});
    const std::size_t groups_at = p * per_row * panel_rows;
    std::fill_n(scales_.data() + groups_at, per_row * panel_rows, 0.0f);
    std::fill_n(code_sums_.data() + groups_at, per_row * panel_rows, 0);
    if (has_zero_points_) std::fill_n(zero_points_.data() + groups_at, per_row * panel_rows, 0);
    std::vector<std::uint8_t> codes(stored.cols);
    std::vector<std::int8_t> bytes(4 * quads(), std::int8_t{0});
    for (std::size_t o = 0; o < last - first; ++o) {
      const std::size_t row = row_begin + first + o;
      unpack_row(stored, row, codes);
      for (std::size_t g = 0; g < per_row; ++g) {
        const std::size_t begin = g * group_size_, end = std::min(begin + group_size_, cols_);
        const std::size_t index = lcomp::first_group(stored, row) + g;
        const auto zero_point = static_cast<std::int32_t>(zero_points[index]);
        const std::int32_t taken = has_zero_points_ ? 128 : zero_point;
        std::int32_t sum = 0;
        for (std::size_t j = begin; j < end; ++j) {
          const std::int32_t byte = codes[j] - taken;
          bytes[j] = static_cast<std::int8_t>(byte);
          sum += byte;
        }
        const std::size_t at = groups_at + g * panel_rows + o;
        scales_[at] = scales[index];
        code_sums_[at] = sum;
        if (has_zero_points_) zero_points_[at] = zero_point - 128;
      }
      for (std::size_t quad = 0; quad < quads(); ++quad) {
        std::memcpy(panel + (quad * panel_rows + o) * 4, bytes.data() + 4 * quad, 4);
      }
    }
  });
}

void require_integer_product(const CompressedWeightView& weight, const ActivationSetting& setting,
                             const std::string& component) {
  IntegerWeight::require_packable(weight, component);
  const auto* transformed = std::get_if<TransformedView>(&weight);
  if (transformed == nullptr || !setting.is_static()) return;
  if (!transformed->transform.input_scaled && transformed->transform.input_block == 0) return;
  throw Error({component, fmt::format("activations {} of a weight with transformed inputs", describe(setting)),
               "ranges of each token: calibration knows those of inputs as they are",
               "choose granularity \"token\", or no transforms"});
}

}  // namespace lcomp
