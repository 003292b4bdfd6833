#include "reference_data.h"

#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace lcomp::testing {
namespace {

std::filesystem::path from_environment(const char* variable, const std::filesystem::path& otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' ? std::filesystem::path(value) : otherwise;
}

}  // namespace

std::filesystem::path source_folder() { return LCOMP_SOURCE_DIR; }

std::filesystem::path shared(const std::string& path) {
  return from_environment("LCOMP_SHARED", source_folder().parent_path() / "shared") / path;
}

std::filesystem::path golden(const std::string& path) {
  return from_environment("LCOMP_GOLDEN", shared("golden")) / path;
}

std::filesystem::path data(const std::string& path) { return from_environment("LCOMP_DATA", shared("data")) / path; }

std::filesystem::path smollm2() {
  return from_environment("LCOMP_SMOLLM2", source_folder() / "models" / "smollm2-reference");
}

std::filesystem::path downloaded_tokenizer(const std::string& name) {
  return from_environment("LCOMP_TOKENIZERS", source_folder() / "models" / "tokenizers") / name;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "lcomp-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed for " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace lcomp::testing
