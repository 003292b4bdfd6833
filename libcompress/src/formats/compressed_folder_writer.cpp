#include <array>
#include <cerrno>
#include <fstream>
#include <map>
#include <set>

#include <fmt/format.h>

#include "formats/container_metadata.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/format.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/mapped_file.h"
#include "lcomp/io/safetensors.h"

namespace lcomp {
namespace {

constexpr std::array companion_files = {"tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "special_tokens_map.json",
                                        "generation_config.json",
                                        "LICENSE",
                                        "LICENSE.txt",
                                        "LICENSE.md",
                                        "NOTICE",
                                        "NOTICE.txt",
                                        "USE_POLICY.md"};

constexpr const char* spool_name = "parts-in-order-of-arrival";

// Where a part lies in the temporary file.
struct SpooledPart {
  PartDeclaration declaration;
  std::uint64_t offset = 0;
};

}  // namespace

struct CompressedFolderWriter::State {
  State(const std::filesystem::path& path, bool replace)
      : folder(path, replace), spool_path(folder.path() / spool_name) {
    errno = 0;
    spool.open(spool_path, std::ios::binary);
    if (!spool) throw system_error(spool_path.string(), "creating the file", errno);
  }

  void require_open() const {
    if (finished) throw Error({folder.path().string(), "a write after finish()", "", ""});
  }

  void append(std::span<const std::uint8_t> data) {
    errno = 0;
    spool.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
    if (!spool) throw system_error(spool_path.string(), "writing", errno);
    spooled += data.size();
  }

  // A part at the end of the temporary file.
  void add_part(const std::string& name, const PartDeclaration& declaration, std::span<const std::uint8_t> data) {
    const SpooledPart part{declaration, spooled};
    append(data);
    parts.emplace(name + declaration.suffix, part);
  }

  void assemble() {
    errno = 0;
    spool.close();
    if (!spool) throw system_error(spool_path.string(), "writing", errno);
    std::vector<SafetensorsDeclaration> declarations;
    for (const auto& [name, part] : parts)
      declarations.push_back({name, part.declaration.type, part.declaration.shape});
    SafetensorsWriter writer(folder.path() / "model.safetensors", std::move(declarations),
                             {{"format", "pt"}, {container_metadata_key, write_container_metadata(metadata)}});
    {
      const MappedFile mapped(spool_path);
      for (const auto& [name, part] : parts) {
        writer.write(name, mapped.bytes().subspan(part.offset, part.declaration.bytes));
        mapped.release(part.offset, part.declaration.bytes);
      }
    }
    writer.finish();
    std::filesystem::remove(spool_path);
  }

  AtomicFolder folder;
  std::filesystem::path spool_path;
  std::ofstream spool;
  std::uint64_t spooled = 0;
  ContainerMetadata metadata;
  std::map<std::string, SpooledPart> parts;  // by name in model.safetensors
  bool finished = false;
};

CompressedFolderWriter::CompressedFolderWriter(const std::filesystem::path& path, bool replace)
    : state_(std::make_unique<State>(path, replace)) {}
CompressedFolderWriter::~CompressedFolderWriter() = default;

void CompressedFolderWriter::add(const std::string& name, const std::vector<std::size_t>& shape,
                                 const CompressedWeightView& weight) {
  state_->require_open();
  const WeightLayout stored = layout(weight);
  const MatrixShape matrix = matrix_shape(shape, name);
  if (matrix.rows != rows(stored) || matrix.cols != cols(stored)) {
    throw Error({name, fmt::format("a weight of {} x {}", rows(stored), cols(stored)),
                 fmt::format("{} x {}, for shape [{}]", matrix.rows, matrix.cols, fmt::join(shape, ", ")), ""});
  }
  const std::vector<WeightPart> all = to_parts(weight);
  bool taken = state_->metadata.entries.contains(name);
  for (const WeightPart& part : all) taken = taken || state_->parts.contains(name + part.suffix);
  if (taken) throw Error({name, "a tensor of that name, or part of one, is in the model already", "", ""});
  for (const WeightPart& part : all) {
    PartDeclaration declaration = part;
    if (part.suffix.empty()) declaration.shape = shape;
    state_->add_part(name, declaration, part.data);
  }
  state_->metadata.entries.emplace(name, ContainerEntry{shape, stored, false});
}

void CompressedFolderWriter::add(const std::string& name, const std::vector<std::size_t>& shape,
                                 const CompressedWeight& weight) {
  add(name, shape, view(weight));
}

void CompressedFolderWriter::set_activations(const ActivationQuantization& activations) {
  State& s = *state_;
  s.require_open();
  if (s.metadata.activations) throw Error({"activations", "a second setting", "one", ""});
  s.metadata.activations = activations.setting;
  for (const auto& [name, grid] : activations.inputs) {
    const auto entry = s.metadata.entries.find(name);
    if (entry == s.metadata.entries.end()) {
      throw Error({name, "the grid of an input of a tensor that is not in the model", "", ""});
    }
    if (!activations.setting.is_static()) {
      throw Error({name, "the grid of an input whose range is dynamic", "no grid", ""});
    }
    check_input_grid(grid, activations.setting.symmetric, name);
    entry->second.input_grid = true;
    for (const PartDeclaration& part : input_grid_parts()) {
      if (s.parts.contains(name + part.suffix)) throw Error({name + part.suffix, "a tensor of that name", "none", ""});
      const void* value = part.suffix == ".input_scale" ? static_cast<const void*>(&grid.scale) : &grid.zero_point;
      s.add_part(name, part, {static_cast<const std::uint8_t*>(value), part.bytes});
    }
  }
}

void CompressedFolderWriter::copy_companion_files(const std::filesystem::path& source_folder) {
  for (const char* name : companion_files) {
    const std::filesystem::path from = source_folder / name;
    std::error_code failure;
    if (!std::filesystem::is_regular_file(from, failure)) continue;
    std::filesystem::copy_file(from, state_->folder.path() / name, std::filesystem::copy_options::overwrite_existing,
                               failure);
    if (failure) throw system_error(from.string(), "copying", failure.value());
  }
}

void CompressedFolderWriter::write_file(const std::string& name, std::string_view text) {
  write_text_file(state_->folder.path() / name, text);
}

std::uint64_t CompressedFolderWriter::payload_bytes() const { return state_->spooled; }

void CompressedFolderWriter::finish(const nlohmann::json& config, const nlohmann::json& description) {
  state_->require_open();
  nlohmann::json quantization = description;
  quantization["quant_method"] = compressed_folder_method;
  quantization["format_version"] = compressed_folder_version;
  nlohmann::json full = config;
  full["quantization_config"] = std::move(quantization);
  state_->assemble();
  write_file("config.json", full.dump(2) + "\n");
  state_->folder.commit();
  state_->finished = true;
}

}  // namespace lcomp
