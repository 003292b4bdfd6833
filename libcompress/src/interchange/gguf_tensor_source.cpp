#include "interchange/gguf_tensor_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "lcomp/core/error.h"
#include "lcomp/core/sizes.h"

namespace lcomp {

GgufTensorSource::GgufTensorSource(std::shared_ptr<const GgufFile> file,
                                   const std::map<std::string, GgufOrigin>& origins)
    : file_(std::move(file)) {
  for (const auto& [name, origin] : origins) {
    const TensorInfo& stored = file_->info(origin.gguf_name);
    TensorInfo info{name, origin.shape, stored.stored_as, stored.stored_bytes};
    if (info.elements() != stored.elements()) {  // a part: rows of whole blocks, all of one size
      info.stored_bytes =
          stored.stored_bytes / (stored.elements() / info.shape.back()) * (info.elements() / info.shape.back());
    }
    infos_.push_back(std::move(info));
    origins_.push_back(origin);
  }
}

void GgufTensorSource::read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                                 std::span<float> out) const {
  const TensorInfo& tensor = info(name);
  const GgufOrigin& origin = origins_[static_cast<std::size_t>(&tensor - infos_.data())];
  if (row_begin > tensor.rows() || row_count > tensor.rows() - row_begin) {
    throw Error({where(),
                 fmt::format("rows {} to {} of tensor \"{}\", which has {}", row_begin, row_begin + row_count, name,
                             tensor.rows()),
                 "", ""});
  }
  assert(out.size() == row_count * tensor.cols());
  if (origin.heads != 0) {
    read_interleaved(origin, tensor, row_begin, row_count, out);
  } else {
    file_->read_values(origin.gguf_name, origin.value_begin + row_begin * tensor.cols(), out);
  }
  if (origin.plus_one) std::transform(out.begin(), out.end(), out.begin(), [](float gain) { return gain - 1; });
}

// Reads whole heads of the file, as many as make about a megabyte at a time, and picks the rows that were asked for.
void GgufTensorSource::read_interleaved(const GgufOrigin& origin, const TensorInfo& tensor, std::size_t row_begin,
                                        std::size_t row_count, std::span<float> out) const {
  const std::size_t cols = tensor.cols();
  const std::size_t head_dim = tensor.rows() / origin.heads;
  const std::size_t row_end = row_begin + row_count;
  const std::size_t heads_at_once = std::max<std::size_t>(1, (std::size_t{1} << 18) / (head_dim * cols));
  const std::size_t last_head = divide_up(row_end, head_dim);
  for (std::size_t head = row_begin / head_dim; head < last_head; head += heads_at_once) {
    const std::size_t first_row = head * head_dim;
    const std::size_t count = std::min(heads_at_once, last_head - head) * head_dim;
    Matrix stored(count, cols);
    file_->read_rows(origin.gguf_name, first_row, count, stored.span());
    for (std::size_t row = std::max(row_begin, first_row); row < std::min(row_end, first_row + count); ++row) {
      const std::size_t in_head = row % head_dim;
      const std::size_t half = in_head / (head_dim / 2);
      const std::size_t from = row - in_head + 2 * (in_head % (head_dim / 2)) + half;
      const auto values = stored.row(from - first_row);
      std::copy(values.begin(), values.end(), out.begin() + static_cast<std::ptrdiff_t>((row - row_begin) * cols));
    }
  }
}

}  // namespace lcomp
