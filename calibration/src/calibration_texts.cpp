#include "lcomp/calibration/calibration_texts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <map>
#include <span>
#include <string_view>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/core/rng.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/mapped_file.h"

namespace lcomp {
namespace {

using Ids = std::vector<TokenId>;

std::string_view characters(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

bool is_json_lines(const std::filesystem::path& path) { return path.extension() == ".jsonl"; }

// A line of a .jsonl file, a prompt, or a window of a raw text that is tokenized already.
struct Source {
  std::size_t file = 0;
  std::size_t line = 0;  // from 1
  std::string_view json;
  std::span<const TokenId> window;
  std::string_view prompt = {};
};

void find_lines(std::size_t file, std::string_view text, std::vector<Source>& sources) {
  std::size_t number = 1;
  for (std::size_t begin = 0; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") != line.npos) sources.push_back({file, number, line, {}});
    begin = end + 1;
  }
}

Ids tokenize(const Source& source, const CalibrationTextOptions& options, const Tokenizer& tokenizer) {
  if (source.line == 0) return tokenizer.encode(source.prompt, options.add_special);
  const std::string where = fmt::format("{}: line {}", options.files[source.file].string(), source.line);
  const nlohmann::json object = parse_json(source.json, where);
  ConfigReader reader(object, where);
  return tokenizer.encode(reader.string("text"), options.add_special);
}

// Makes sequences of texts, see read_calibration_texts.
class SequenceCutter {
 public:
  SequenceCutter(const CalibrationTextOptions& options) : options_(options) {}

  bool done() const { return options_.sequences && batch_.sequences() >= *options_.sequences; }
  std::size_t longest() const { return longest_; }
  TokenBatch& batch() { return batch_; }

  void add(std::span<const TokenId> text) {
    if (done() || text.empty()) return;
    longest_ = std::max(longest_, text.size());
    if (text.size() >= options_.tokens) {
      batch_.add(text.first(options_.tokens));
      if (options_.long_texts == CalibrationTextOptions::LongTexts::split) keep_windows(text);
    } else if (options_.short_texts == CalibrationTextOptions::ShortTexts::keep) {
      batch_.add(text);
    } else if (options_.short_texts == CalibrationTextOptions::ShortTexts::concatenate) {
      waiting_.insert(waiting_.end(), text.begin(), text.end());
      if (waiting_.size() < options_.tokens) return;
      batch_.add(std::span<const TokenId>(waiting_).first(options_.tokens));
      waiting_.clear();
    }
  }

  // After the last text: its later windows.
  void add_later_windows() {
    for (const auto& [number, windows] : later_) {
      for (const Ids& window : windows) {
        if (done()) return;
        batch_.add(window);
      }
    }
  }

 private:
  void keep_windows(std::span<const TokenId> text) {
    for (std::size_t w = 1; (w + 1) * options_.tokens <= text.size(); ++w) {
      if (options_.sequences && kept_ >= *options_.sequences) return;  // enough, whatever else comes
      const auto window = text.subspan(w * options_.tokens, options_.tokens);
      later_[w].emplace_back(window.begin(), window.end());
      ++kept_;
    }
  }

  const CalibrationTextOptions& options_;
  TokenBatch batch_;
  Ids waiting_;
  std::map<std::size_t, std::vector<Ids>> later_;  // windows of long texts by their number in the text
  std::size_t kept_ = 0;
  std::size_t longest_ = 0;
};

std::string_view fate(CalibrationTextOptions::ShortTexts short_texts) {
  switch (short_texts) {
    case CalibrationTextOptions::ShortTexts::concatenate:
      return "joined";
    case CalibrationTextOptions::ShortTexts::skip:
      return "left out";
    case CalibrationTextOptions::ShortTexts::keep:
      return "kept as they are";
  }
  return "";
}

}  // namespace

CalibrationTexts read_calibration_texts(const CalibrationTextOptions& options, const Tokenizer& tokenizer) {
  if (options.files.empty() && !options.prompts) {
    throw Error({"calibration texts", "no file", "JSON lines {\"text\": \"...\"} (.jsonl) or raw text", "name a file"});
  }
  if (options.tokens == 0 || options.sequences == std::size_t{0}) {
    throw Error({"calibration texts",
                 fmt::format("{} sequences of {} tokens", options.sequences.value_or(0), options.tokens),
                 "at least one sequence of one token", ""});
  }
  std::vector<MappedFile> files;
  std::vector<Ids> raw;  // token ids of the raw texts
  for (const auto& path : options.files) {
    if (!std::filesystem::is_regular_file(path)) {
      throw Error({path.string(), "no such file", "JSON lines {\"text\": \"...\"} (.jsonl) or raw text",
                   "see docs/data.md for where published sets are"});
    }
    files.emplace_back(path);
    if (!is_json_lines(path)) raw.push_back(tokenizer.encode(characters(files.back()), options.add_special));
  }

  std::vector<Source> sources;
  std::size_t longest_raw = 0, next_raw = 0;
  for (std::size_t f = 0; f < files.size(); ++f) {
    if (is_json_lines(options.files[f])) {
      find_lines(f, characters(files[f]), sources);
      continue;
    }
    const std::span<const TokenId> ids = raw[next_raw++];
    longest_raw = std::max(longest_raw, ids.size());
    for (std::size_t w = 0; w < ids.size() / options.tokens; ++w) {
      sources.push_back({f, 0, {}, ids.subspan(w * options.tokens, options.tokens)});
    }
  }
  const std::vector<std::string> prompts = options.prompts ? options.prompts() : std::vector<std::string>();
  for (const std::string& prompt : prompts) sources.push_back({0, 0, {}, {}, prompt});
  Rng(options.seed).split("calibration texts").shuffle(std::span(sources));

  SequenceCutter cutter(options);
  constexpr std::size_t texts_at_once = 64;  // tokenized on all threads, used in order
  std::vector<Ids> ids;
  for (std::size_t begin = 0; begin < sources.size() && !cutter.done(); begin += texts_at_once) {
    const auto some = std::span(sources).subspan(begin, std::min(texts_at_once, sources.size() - begin));
    ids.assign(some.size(), {});
    parallel_for(0, some.size(), [&](std::size_t i) {
      if (some[i].window.empty()) ids[i] = tokenize(some[i], options, tokenizer);
    });
    for (std::size_t i = 0; i < some.size(); ++i) {
      cutter.add(some[i].window.empty() ? std::span<const TokenId>(ids[i]) : some[i].window);
    }
  }

  cutter.add_later_windows();

  std::vector<std::string> names;
  for (const auto& path : options.files) names.push_back(path.string());
  if (options.prompts) names.push_back(options.prompts_name);
  const std::size_t found = cutter.batch().sequences();
  if (found < options.sequences.value_or(1)) {
    throw Error({fmt::format("{}", fmt::join(names, ", ")),
                 fmt::format("{} sequences of {} tokens in {} texts, of which the longest has {}", found,
                             options.tokens, sources.size(), std::max(longest_raw, cutter.longest())),
                 fmt::format("{} sequences", options.sequences.value_or(1)),
                 "give more text, or ask for fewer or shorter sequences"});
  }
  CalibrationTexts texts;
  const Ids special = tokenizer.encode("", options.add_special);
  texts.description =
      fmt::format("{} sequences of {} tokens from {}, seed {}, shorter texts {}{}, {}", found, options.tokens,
                  fmt::join(names, ", "), options.seed, fate(options.short_texts),
                  options.long_texts == CalibrationTextOptions::LongTexts::split ? ", longer ones split" : "",
                  special.empty() ? std::string("no begin token") : fmt::format("begin token {}", special.front()));
  texts.batch = std::move(cutter.batch());
  return texts;
}

}  // namespace lcomp
