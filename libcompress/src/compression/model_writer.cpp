#include "lcomp/compression/model_writer.h"

#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/interchange/gguf.h"
#include "lcomp/interchange/gguf_tokenizer_json.h"
#include "lcomp/io/atomic_file.h"

namespace lcomp {

ModelWriter::ModelWriter(const ModelFolder& original, const std::filesystem::path& out, bool replace)
    : original_(original), writer_(out, replace) {}

void ModelWriter::add(const std::string& tensor, const CompressedWeightView& weight) {
  writer_.add(tensor, original_.tensors->info(tensor).shape, weight);
}

void ModelWriter::add(const std::string& tensor, const CompressedWeight& weight) { add(tensor, view(weight)); }

std::uint64_t ModelWriter::keep(const std::string& tensor, const Matrix& values) {
  const CompressedWeight kept = encode_dense(values.view(), exact_dense_type(values.view()), tensor);
  add(tensor, kept);
  return payload_bytes(kept);
}

std::uint64_t ModelWriter::set_activations(const ActivationQuantization& activations) {
  const std::uint64_t before = writer_.payload_bytes();
  writer_.set_activations(activations);
  return writer_.payload_bytes() - before;
}

void ModelWriter::add_tokenizer(const std::filesystem::path& source) {
  if (std::filesystem::is_directory(source)) {
    writer_.copy_companion_files(source);
    return;
  }
  if (source.extension() == ".json") {
    writer_.write_file("tokenizer.json", read_text_file(source));
    return;
  }
  if (source.extension() != ".gguf") return;
  const GgufFile gguf(source);
  if (gguf.find_metadata("tokenizer.ggml.model") == nullptr) return;
  writer_.write_file("tokenizer.json", gguf_tokenizer_json(gguf).dump() + "\n");
  writer_.write_file("tokenizer_config.json", gguf_tokenizer_config_json(gguf).dump(1) + "\n");
}

ModelSize ModelWriter::size() const { return {original_.parameters(), writer_.payload_bytes()}; }

ModelSize ModelWriter::finish(const nlohmann::json& description) {
  const ModelSize written = size();
  nlohmann::json complete = {{"parameters", written.parameters},
                             {"bytes", written.bytes},
                             {"bits_per_weight", written.bits_per_weight()},
                             {"ratio", written.ratio()}};
  complete.update(description);
  writer_.finish(original_.config_json, complete);
  return written;
}

}  // namespace lcomp
