#include "lcomp/formats/format.h"

#include <algorithm>
#include <cassert>
#include <type_traits>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/formats/model_size.h"
#include "lcomp/formats/rate_coded.h"
#include "lcomp/formats/transformed_weight.h"

namespace lcomp {
namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;  // clang 14 asks for it

std::string shape_text(const std::vector<std::size_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string part_text(const PartDeclaration& part) {
  return fmt::format("{} {}", name(part.type), shape_text(part.shape));
}

// Checks `part` against what the layout declares. A dense weight's only part carries the original's shape, which may
// have any rank.
void check_part(const PartDeclaration& declared, const WeightPart& part, const std::string& where) {
  std::size_t elements = 1;
  for (const std::size_t n : part.shape) elements = checked_multiply(elements, n, where + part.suffix);
  const bool same_shape = declared.suffix.empty() ? elements * bytes_per_element(part.type) == declared.bytes
                                                  : part.shape == declared.shape;
  if (part.type != declared.type || !same_shape) {
    throw Error({where + part.suffix, part_text(part), part_text(declared), "the file is damaged"});
  }
  if (part.data.size() != declared.bytes) {
    throw Error({where + part.suffix, fmt::format("{} bytes", part.data.size()),
                 fmt::format("{} bytes", declared.bytes), "the file is damaged"});
  }
}

std::string group_text(std::size_t group_size, std::size_t cols) {
  return group_size == cols ? "per channel" : fmt::format("group {}", group_size);
}

const char* permutation_text(bool permuted) { return permuted ? ", permuted columns" : ""; }

const Overloaded describe_format{
    [](const DenseLayout& dense) { return std::string(name(dense.type)); },
    [](const GroupedIntegerLayout& grouped) {
      return fmt::format("grouped integer, {} bits, {}, {}, {} scales{}{}", grouped.bits,
                         grouped.symmetric ? "symmetric" : "asymmetric",
                         grouped.per_tensor ? "per tensor" : group_text(grouped.group_size, grouped.cols),
                         name(grouped.scale_storage), grouped.zero_storage == ZeroStorage::f16 ? ", f16 zeros" : "",
                         permutation_text(grouped.permuted));
    },
    [](const LogarithmicLayout& logarithmic) {
      return fmt::format("logarithmic, {} bits{}, {}, {} scales{}", logarithmic.bits,
                         logarithmic.zero_level ? " with zero" : "",
                         group_text(logarithmic.group_size, logarithmic.cols), name(logarithmic.scale_storage),
                         permutation_text(logarithmic.permuted));
    },
    [](const CodebookLayout& codebook) {
      const std::string group = group_text(codebook.group_size, codebook.cols);
      const std::string grain =
          codebook.scale_storage ? fmt::format("shared, {}, {} scales", group, name(*codebook.scale_storage)) : group;
      return fmt::format("codebook, {} bits, {}{}", codebook.bits, grain, permutation_text(codebook.permuted));
    },
    [](const BandedIntegerLayout& banded) {
      return fmt::format("banded integer, {:.2f} bits on the average, {}",
                         static_cast<double>(banded.bit_sum) / static_cast<double>(band_count(banded.cols)),
                         banded.symmetric ? "symmetric" : "asymmetric");
    },
    [](const RateCodedLayout& rate) {
      const std::string trellis =
          rate.trellis_memory == 0 ? "" : fmt::format(", {} trellis states", 1 << rate.trellis_memory);
      return fmt::format("rate-coded{}", trellis);
    },
    [](const TransformedLayout& transformed) {
      const WeightTransform& t = transformed.transform;
      std::string text = describe(as_layout(transformed.base));
      if (t.input_scaled) text += ", scaled inputs";
      if (t.input_block > 0) text += fmt::format(", inputs rotated by {}", t.input_block);
      if (t.output_block > 0) text += fmt::format(", outputs rotated by {}", t.output_block);
      return text;
    }};

}  // namespace

std::vector<PartDeclaration> declared_parts(const WeightLayout& layout, const std::string& where) {
  return std::visit([&](const auto& of_format) { return declared_parts(of_format, where); }, layout);
}

std::uint64_t payload_bytes(const WeightLayout& layout) {
  std::uint64_t sum = 0;
  for (const PartDeclaration& part : declared_parts(layout, "weight")) {
    sum = checked_add(sum, std::uint64_t{part.bytes}, "weight");
  }
  return sum;
}

std::uint64_t payload_bytes(const CompressedWeightView& weight) { return payload_bytes(layout(weight)); }
std::uint64_t payload_bytes(const CompressedWeight& weight) { return payload_bytes(layout(weight)); }

double bits_per_weight(const WeightLayout& layout) {
  return ModelSize{std::uint64_t{rows(layout)} * cols(layout), payload_bytes(layout)}.bits_per_weight();
}

WeightLayout layout(const CompressedWeightView& weight) {
  using Layout = WeightLayout;
  return std::visit(
      Overloaded{[](const DenseView& w) -> Layout { return static_cast<const DenseLayout&>(w); },
                 [](const GroupedIntegerView& w) -> Layout { return static_cast<const GroupedIntegerLayout&>(w); },
                 [](const LogarithmicView& w) -> Layout { return static_cast<const LogarithmicLayout&>(w); },
                 [](const CodebookView& w) -> Layout { return static_cast<const CodebookLayout&>(w); },
                 [](const BandedIntegerView& w) -> Layout { return static_cast<const BandedIntegerLayout&>(w); },
                 [](const RateCodedView& w) -> Layout { return static_cast<const RateCodedLayout&>(w); },
                 [](const TransformedView& w) -> Layout { return layout(w); }},
      weight);
}

WeightLayout layout(const CompressedWeight& weight) { return layout(view(weight)); }

std::size_t rows(const WeightLayout& layout) {
  return std::visit([](const auto& of_format) { return of_format.rows; }, layout);
}

std::size_t cols(const WeightLayout& layout) {
  return std::visit([](const auto& of_format) { return of_format.cols; }, layout);
}

CompressedWeightView view(const CompressedWeight& weight) {
  return std::visit([](const auto& of_format) -> CompressedWeightView { return view(of_format); }, weight);
}

void decode_rows(const CompressedWeightView& weight, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) {
  std::visit(
      [&](const auto& of_format) {
        if (row_begin > of_format.rows || row_count > of_format.rows - row_begin) {
          throw Error({"decode_rows", fmt::format("{} rows from {} on", row_count, row_begin),
                       fmt::format("rows of a weight of {} rows", of_format.rows), ""});
        }
        if (out.size() != row_count * of_format.cols) {
          throw Error({"decode_rows", fmt::format("room for {} values", out.size()),
                       fmt::format("{} x {}", row_count, of_format.cols), ""});
        }
        decode_rows(of_format, row_begin, row_count, out);
      },
      weight);
}

Matrix decode(const CompressedWeightView& weight) {
  const WeightLayout shape = layout(weight);
  Matrix out(rows(shape), cols(shape));
  if (out.empty()) return out;  // no columns, perhaps, and any number of rows
  const std::size_t alignment = rows_together(shape);
  std::size_t chunk = divide_up(std::max<std::size_t>(1, 65536 / out.cols()), alignment) * alignment;
  // Two blocks of a rate-coded weight decode faster at once, where that leaves work for all threads.
  if (chunk < out.rows() && divide_up(out.rows(), chunk) >= 2 * thread_count()) chunk *= 2;
  parallel_chunks(0, out.rows(), chunk, [&](std::size_t first, std::size_t last) {
    decode_rows(weight, first, last - first, out.span().subspan(first * out.cols(), (last - first) * out.cols()));
  });
  return out;
}

Matrix decode(const CompressedWeight& weight) { return decode(view(weight)); }

std::string describe(const WeightLayout& layout) { return std::visit(describe_format, layout); }

std::size_t rows_together(const WeightLayout& layout) {
  if (const auto* rate = std::get_if<RateCodedLayout>(&layout)) return rate->block_rows;
  const auto* transformed = std::get_if<TransformedLayout>(&layout);
  return transformed == nullptr ? 1 : std::max<std::size_t>(1, transformed->transform.output_block);
}

std::vector<WeightPart> to_parts(const CompressedWeightView& weight) {
  std::vector<WeightPart> parts;
  for (const PartDeclaration& declared : declared_parts(layout(weight), "weight")) {
    const auto data = std::visit([&](auto of_format) { return part_data(of_format, declared.suffix); }, weight);
    assert(data.size() == declared.bytes);
    parts.push_back({declared, data});
  }
  return parts;
}

CompressedWeight copy(const CompressedWeightView& weight) {
  CompressedWeight out =
      std::visit([](const auto& of_format) -> CompressedWeight { return empty_weight(of_format); }, layout(weight));
  for (const WeightPart& part : to_parts(weight)) {
    std::visit([&](auto& of_format) { part_data(of_format, part.suffix).assign(part.data.begin(), part.data.end()); },
               out);
  }
  return out;
}

CompressedWeightView from_parts(const WeightLayout& layout, std::span<const WeightPart> parts,
                                const std::string& where) {
  const std::vector<PartDeclaration> declared = declared_parts(layout, where);
  std::vector<std::span<const std::uint8_t>> data(declared.size());
  std::vector<bool> seen(declared.size(), false);
  for (const WeightPart& part : parts) {
    const auto at =
        std::find_if(declared.begin(), declared.end(), [&](const auto& d) { return d.suffix == part.suffix; });
    if (at == declared.end())
      throw Error({where + part.suffix, fmt::format("a part that {} has not", describe(layout)), "", ""});
    const auto index = static_cast<std::size_t>(at - declared.begin());
    if (seen[index]) throw Error({where + part.suffix, "the part twice", "each part once", ""});
    seen[index] = true;
    check_part(*at, part, where);
    data[index] = part.data;
  }
  for (std::size_t i = 0; i < declared.size(); ++i) {
    if (!seen[i])
      throw Error({where + declared[i].suffix, "no such part", part_text(declared[i]), "the file is damaged"});
  }
  return std::visit(
      [&](const auto& of_format) -> CompressedWeightView {
        auto weight = empty_view(of_format);
        for (std::size_t i = 0; i < declared.size(); ++i) part_data(weight, declared[i].suffix) = data[i];
        if constexpr (std::is_same_v<decltype(weight), RateCodedView>) keep_side(weight, where);
        check_contents(weight, where);
        return weight;
      },
      layout);
}

}  // namespace lcomp
