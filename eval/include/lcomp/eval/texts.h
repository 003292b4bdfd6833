#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace lcomp {

// The folder that holds the published data sets, in the layout of docs/data.md: `option` where given, else the
// environment variable LCOMP_DATA. Throws Error that says how to set it when there is neither, or no such folder.
std::filesystem::path data_folder(const std::string& option);

// Texts of a JSON-lines file, one object with a string "text" a line, at most `limit` of them. Throws Error naming file
// and line.
std::vector<std::string> read_jsonl_texts(const std::filesystem::path& path,
                                          std::size_t limit = std::numeric_limits<std::size_t>::max());

// Raw test text of WikiText-2 (DATA/wikitext2/wiki.test.raw) as one string, and validation texts of C4
// (DATA/c4/c4-valid.jsonl), in file order. An absent file is an Error that names the file, its layout and where the set
// is published.
std::string wikitext2_test(const std::filesystem::path& data);
std::vector<std::string> c4_validation(const std::filesystem::path& data, std::size_t limit);
// Training texts of C4 (DATA/c4/c4-train.jsonl), the file's name: calibration reads the lines that it draws.
std::filesystem::path c4_training(const std::filesystem::path& data);

}  // namespace lcomp
