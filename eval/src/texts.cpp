#include "lcomp/eval/texts.h"

#include <fmt/format.h>

#include <cstdlib>
#include <sstream>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

void require_file(const std::filesystem::path& path, const std::string& layout, const std::string& published) {
  if (std::filesystem::is_regular_file(path)) return;
  throw Error({path.string(), "no such file", layout, "published at " + published + "; see docs/data.md"});
}

}  // namespace

std::filesystem::path data_folder(const std::string& option) {
  std::string folder = option;
  if (folder.empty()) {
    if (const char* variable = std::getenv("LCOMP_DATA")) folder = variable;
  }
  if (folder.empty()) {
    throw Error({"data folder", "not given", "a folder with the data sets, laid out as in docs/data.md",
                 "use --data FOLDER or set LCOMP_DATA"});
  }
  if (!std::filesystem::is_directory(folder)) {
    throw Error({folder, "no such folder", "a folder with the data sets, laid out as in docs/data.md",
                 "use --data FOLDER or set LCOMP_DATA"});
  }
  return folder;
}

std::vector<std::string> read_jsonl_texts(const std::filesystem::path& path, std::size_t limit) {
  std::istringstream lines(read_text_file(path));
  std::vector<std::string> texts;
  std::string line;
  for (std::size_t number = 1; texts.size() < limit && std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = fmt::format("{}: line {}", path.string(), number);
    const nlohmann::json object = parse_json(line, where);
    ConfigReader reader(object, where);
    texts.push_back(reader.string("text"));
  }
  return texts;
}

std::string wikitext2_test(const std::filesystem::path& data) {
  const std::filesystem::path path = data / "wikitext2" / "wiki.test.raw";
  require_file(path, "the raw test text of WikiText-2",
               "the Hugging Face hub as Salesforce/wikitext, wikitext-2-raw-v1, split test");
  return read_text_file(path);
}

std::vector<std::string> c4_validation(const std::filesystem::path& data, std::size_t limit) {
  const std::filesystem::path path = data / "c4" / "c4-valid.jsonl";
  require_file(path, R"(JSON lines {"text": "..."} of C4's validation split)",
               "the Hugging Face hub as allenai/c4, en, split validation");
  return read_jsonl_texts(path, limit);
}

std::filesystem::path c4_training(const std::filesystem::path& data) {
  const std::filesystem::path path = data / "c4" / "c4-train.jsonl";
  require_file(path, R"(JSON lines {"text": "..."} of C4's training split)",
               "the Hugging Face hub as allenai/c4, en, split train");
  return path;
}

}  // namespace lcomp
