#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/float16.h"
#include "lcomp/core/matrix.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/sizes.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/quoted_text.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPieceElements = std::size_t{1} << 18;   // converted at a time
constexpr std::size_t kElementsAtOnce = std::size_t{1} << 15;  // elements a thread converts at a time

std::string json_string(std::string_view text, const std::string& where) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {  // the one reason for which dump() throws
    throw Error({where, "a name or text that is not UTF-8: " + in_quotes(text), "", ""});
  }
}

std::uint64_t stored_bytes(const SafetensorsDeclaration& tensor, const std::string& where) {
  std::uint64_t bytes = bytes_per_element(tensor.type);
  for (const std::size_t size : tensor.shape) bytes = checked_multiply<std::uint64_t>(bytes, size, where);
  return bytes;
}

}  // namespace

struct SafetensorsWriter::State {
  State(const std::filesystem::path& path, std::vector<SafetensorsDeclaration> declarations,
        const std::map<std::string, std::string>& metadata)
      : where(path.string()),
        tensors(std::move(declarations)),
        header(make_header(metadata)),
        file(path, 8 + header.size() + data_bytes) {
    std::array<std::byte, 8> length{};
    for (std::size_t i = 0; i < length.size(); ++i) {
      length[i] = static_cast<std::byte>((static_cast<std::uint64_t>(header.size()) >> (8 * i)) & 0xffu);
    }
    file.write(length);
    file.write(header);
    skip_empty();
  }

  // Fills `sizes` and `data_bytes` on the way.
  std::string make_header(const std::map<std::string, std::string>& metadata) {
    std::string text = "{";
    const auto separate = [&text] {
      if (text.size() > 1) text += ',';
    };
    if (!metadata.empty()) {
      text += "\"__metadata__\":{";
      bool first = true;
      for (const auto& [key, value] : metadata) {
        text += fmt::format("{}{}:{}", first ? "" : ",", json_string(key, where), json_string(value, where));
        first = false;
      }
      text += '}';
    }
    std::set<std::string_view> names;
    for (const SafetensorsDeclaration& tensor : tensors) {
      const std::string place = where + ": tensor " + in_quotes(tensor.name);
      if (tensor.name == "__metadata__") throw Error({where, "a tensor named __metadata__", "another name", ""});
      if (!names.insert(tensor.name).second) throw Error({place, "declared twice", "", ""});
      const std::uint64_t bytes = stored_bytes(tensor, place);
      const std::uint64_t end = checked_add(data_bytes, bytes, place);
      separate();
      text += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          json_string(tensor.name, where), name(tensor.type), fmt::join(tensor.shape, ","), data_bytes,
                          end);
      sizes.push_back(bytes);
      data_bytes = end;
    }
    text += '}';
    text.resize(divide_up(text.size() + 8, kAlignment) * kAlignment - 8, ' ');
    return text;
  }

  void skip_empty() {
    while (current < tensors.size() && done == sizes[current]) {
      ++current;
      done = 0;
    }
  }

  // The declaration that `size` more bytes of `tensor` belong to.
  const SafetensorsDeclaration& require_current(std::string_view tensor, std::uint64_t size) const {
    const std::string place = where + ": tensor " + in_quotes(tensor);
    if (current == tensors.size()) throw Error({place, "written after the last tensor was complete", "", ""});
    if (tensors[current].name != tensor) {
      throw Error({place, "written out of turn",
                   fmt::format("{}, of which {} of {} bytes were written", in_quotes(tensors[current].name), done,
                               sizes[current]),
                   ""});
    }
    if (size > sizes[current] - done) {
      throw Error({place, fmt::format("{} bytes after {} bytes of it", size, done),
                   fmt::format("{} in all", sizes[current]), ""});
    }
    return tensors[current];
  }

  bool is_empty_tensor(std::string_view tensor) const {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (sizes[i] == 0 && tensors[i].name == tensor) return true;
    }
    return false;
  }

  void append(std::span<const std::byte> bytes) {
    file.write(bytes);
    done += bytes.size();
    skip_empty();
  }

  // Converts and appends piece by piece. `find_overflow` gives the first finite value that `convert` would make
  // infinite.
  void append_16_bit(std::span<const float> values, void (*convert)(std::span<const float>, std::span<std::uint16_t>),
                     std::size_t (*find_overflow)(std::span<const float>)) {
    const SafetensorsDeclaration tensor = tensors[current];
    if (piece.size() == 0) piece = AlignedBuffer<std::uint16_t>(kPieceElements);
    while (!values.empty()) {
      const auto now = values.first(std::min(values.size(), kPieceElements));
      const auto out = piece.span().first(now.size());
      parallel_chunks(0, now.size(), kElementsAtOnce, [&](std::size_t begin, std::size_t end) {
        convert(now.subspan(begin, end - begin), out.subspan(begin, end - begin));
      });
      if (const std::size_t at = find_overflow(now); at < now.size()) {
        throw Error({where + ": tensor " + in_quotes(tensor.name),
                     fmt::format("the value {} of element {}", now[at], done / 2 + at),
                     fmt::format("a value that {} can hold", name(tensor.type)), "store the tensor as BF16 or F32"});
      }
      append(std::as_bytes(out));
      values = values.subspan(now.size());
    }
  }

  std::string where;
  std::vector<SafetensorsDeclaration> tensors;
  std::vector<std::uint64_t> sizes;  // of tensors, bytes
  std::uint64_t data_bytes = 0;
  std::string header;
  AtomicFile file;
  std::size_t current = 0;  // the first tensor that is not complete
  std::uint64_t done = 0;   // bytes of it
  AlignedBuffer<std::uint16_t> piece;
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<SafetensorsDeclaration> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : state_(std::make_unique<State>(path, std::move(tensors), metadata)) {}

SafetensorsWriter::~SafetensorsWriter() = default;
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter& SafetensorsWriter::operator=(SafetensorsWriter&&) noexcept = default;

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  if (bytes.empty() && state_->is_empty_tensor(name)) return;
  state_->require_current(name, bytes.size());
  state_->append(bytes);
}

void SafetensorsWriter::write_float(std::string_view name, std::span<const float> values) {
  if (values.empty() && state_->is_empty_tensor(name)) return;
  const DataType type = state_->require_current(name, 0).type;
  state_->require_current(name, checked_multiply<std::uint64_t>(values.size(), bytes_per_element(type), state_->where));
  if (type == DataType::f32) {
    state_->append(std::as_bytes(values));
  } else if (type == DataType::f16) {
    state_->append_16_bit(values, float_to_half, find_half_overflow);
  } else if (type == DataType::bf16) {
    state_->append_16_bit(values, float_to_bfloat16, find_bfloat16_overflow);
  } else {
    throw Error({state_->where + ": tensor " + in_quotes(name),
                 fmt::format("float values for a tensor of {}", lcomp::name(type)), "F32, F16 or BF16", ""});
  }
}

void SafetensorsWriter::finish() {
  if (state_->current < state_->tensors.size()) {
    throw Error({state_->where + ": tensor " + in_quotes(state_->tensors[state_->current].name),
                 fmt::format("{} bytes were written", state_->done), fmt::format("{}", state_->sizes[state_->current]),
                 ""});
  }
  state_->file.commit();
}

}  // namespace lcomp
