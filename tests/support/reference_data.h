#pragma once

#include <filesystem>
#include <string>

// Where the tests find their reference values and data; see CONTRIBUTING.md. A test that needs one of them begins with
//   LCOMP_REQUIRE(golden("families/llama2"));
// and is skipped, saying what is missing, where it is absent.
namespace lcomp::testing {

std::filesystem::path source_folder();                  // the repository
std::filesystem::path shared(const std::string& path);  // LCOMP_SHARED, or ../shared beside the repository
std::filesystem::path golden(const std::string& path);  // LCOMP_GOLDEN, or shared("golden")
std::filesystem::path data(const std::string& path);    // LCOMP_DATA, or shared("data")
std::filesystem::path smollm2();  // LCOMP_SMOLLM2, or models/smollm2-reference (scripts/get_smollm2 --reference)
std::filesystem::path downloaded_tokenizer(const std::string& name);  // models/tokenizers/NAME (scripts/get_tokenizers)

// A fresh folder under the system's temporary folder, removed with everything in it at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace lcomp::testing

#define LCOMP_REQUIRE(path_expression)                                                                                \
  do {                                                                                                                \
    const std::filesystem::path required_path = (path_expression);                                                    \
    if (!std::filesystem::exists(required_path)) {                                                                    \
      GTEST_SKIP() << required_path << " is absent: see 'Reference data' in CONTRIBUTING.md for where it comes from"; \
    }                                                                                                                 \
  } while (false)
