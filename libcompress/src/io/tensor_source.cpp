#include "lcomp/io/tensor_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "lcomp/core/error.h"

namespace lcomp {

std::size_t TensorInfo::elements() const {
  std::size_t product = 1;
  for (const std::size_t n : shape) product *= n;
  return product;
}

std::size_t TensorInfo::rows() const { return shape.empty() ? 1 : shape[0]; }

std::size_t TensorInfo::cols() const { return rows() == 0 ? 0 : elements() / rows(); }

const TensorInfo* TensorSource::find(std::string_view name) const {
  const auto& all = tensors();
  const auto at = std::lower_bound(all.begin(), all.end(), name,
                                   [](const TensorInfo& info, std::string_view wanted) { return info.name < wanted; });
  return at != all.end() && at->name == name ? &*at : nullptr;
}

const TensorInfo& TensorSource::info(std::string_view name) const {
  if (const TensorInfo* found = find(name)) return *found;
  throw Error({where(), fmt::format("no tensor \"{}\" among {}", name, tensors().size()), "", ""});
}

Matrix TensorSource::read(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  Matrix out(tensor.rows(), tensor.cols());
  read_rows(name, 0, tensor.rows(), out.span());
  return out;
}

}  // namespace lcomp
