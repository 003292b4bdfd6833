#include <filesystem>
#include <string>
#include <string_view>

#include "lcomp/core/error.h"
#include "lcomp/interchange/gguf.h"
#include "lcomp/interchange/gguf_tokenizer_json.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/mapped_file.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/tokenizer_json.h"

namespace lcomp {
namespace {

// The kind of a file is told by how it begins: neither a GGUF file nor a protobuf message can begin with a brace.
std::unique_ptr<Tokenizer> load_file(const std::filesystem::path& path) {
  const std::string where = path.string();
  const MappedFile file(path);
  const auto bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("GGUF")) return tokenizer_from_json(gguf_tokenizer_json(GgufFile(path)), where);
  if (path.extension() == ".json" || text.starts_with('{')) return tokenizer_from_json(parse_json(text, where), where);
  return make_sentencepiece_tokenizer(parse_sentencepiece(bytes, where), where);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    throw Error({path.string(), "no such file or folder",
                 "a folder with tokenizer.json or tokenizer.model, or a GGUF file", ""});
  }
  if (!std::filesystem::is_directory(path)) return load_file(path);
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    if (std::filesystem::exists(path / name)) return load_file(path / name);
  }
  throw Error({path.string(), "a folder without a tokenizer", "tokenizer.json or tokenizer.model in it",
               "Copy one of them from the original model."});
}

}  // namespace lcomp
