#include "lcomp/eval/answer_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

// The lines of a file that are complete, and where each ends.
struct Lines {
  AnswerFile content;
  std::vector<std::size_t> ends;
};

Lines read_lines(const std::filesystem::path& path, bool drop_unfinished) {
  const std::string text = read_text_file(path);
  Lines lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::string where = fmt::format("{}: line {}", path.string(), lines.ends.size() + 1);
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) {
      if (drop_unfinished) break;
      throw Error({where, "a line that is cut off", "a complete file of answers",
                   "run the same command again, which goes on where it stopped"});
    }
    const nlohmann::json json = parse_json(std::string_view(text).substr(at, end - at), where);
    if (lines.ends.empty()) {
      lines.content.header = json;
      if (!json.is_object() || !json.contains("key")) {
        throw Error({where, "no header of a file of answers", "a file that --answers wrote", ""});
      }
    } else {
      lines.content.answers.push_back(choice_answer_from_json(json, where));
    }
    at = end + 1;
    lines.ends.push_back(at);
  }
  return lines;
}

std::string difference(const nlohmann::json& found, const nlohmann::json& expected) {
  for (const auto& [key, value] : expected.items()) {
    if (!found.contains(key)) return fmt::format("no \"{}\"", key);
    if (found.at(key) != value) return fmt::format("\"{}\": {}", key, found.at(key).dump());
  }
  return "more keys than expected";
}

}  // namespace

AnswerFile read_answer_file(const std::filesystem::path& path) {
  Lines lines = read_lines(path, false);
  if (lines.ends.empty()) throw Error({path.string(), "an empty file", "a file of answers", ""});
  return std::move(lines.content);
}

AnswerLog::AnswerLog(std::filesystem::path path, const nlohmann::json& header) : path_(std::move(path)) {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw system_error(path_.string(), "open", errno);
  try {
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      throw Error({path_.string(), "another run writes this file", "", "wait for it, or choose another file"});
    }
    Lines lines = read_lines(path_, true);
    if (lines.ends.empty()) {
      // A header that was cut off, or nothing.
      const std::string line = header.dump() + "\n";
      if (ftruncate(descriptor_, 0) != 0 ||
          write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        throw system_error(path_.string(), "write", errno);
      }
      ends_ = {line.size()};
      return;
    }
    if (lines.content.header != header) {
      const std::string key = difference(lines.content.header, header);
      throw Error({path_.string(), fmt::format("answers of another run: {}", key),
                   fmt::format("the header {}", header.dump()), "choose another file, or delete this one"});
    }
    answers_ = std::move(lines.content.answers);
    ends_ = std::move(lines.ends);
    keep(answers_.size());
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

AnswerLog::~AnswerLog() { close(descriptor_); }

void AnswerLog::keep(std::size_t count) {
  answers_.resize(count);
  ends_.resize(count + 1);
  if (ftruncate(descriptor_, static_cast<off_t>(ends_.back())) != 0) {
    throw system_error(path_.string(), "truncate", errno);
  }
}

void AnswerLog::append(std::span<const ChoiceAnswer> answers) {
  std::string text;
  std::vector<std::size_t> ends;
  for (const ChoiceAnswer& answer : answers) {
    text += to_json(answer).dump() + "\n";
    ends.push_back(ends_.back() + text.size());
  }
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = write(descriptor_, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw system_error(path_.string(), "write", errno);
    at += static_cast<std::size_t>(written);
  }
  if (fsync(descriptor_) != 0) throw system_error(path_.string(), "flush", errno);
  answers_.insert(answers_.end(), answers.begin(), answers.end());
  ends_.insert(ends_.end(), ends.begin(), ends.end());
}

std::vector<ChoiceAnswer> answer_choices(Decoder& model, const ChoiceTask& task, AnswerLog& log,
                                         const ChoiceScoreOptions& options) {
  ChoiceScoreOptions score = options;
  score.first_group = 0;
  while (score.first_group + 1 < task.groups.size() && task.groups[score.first_group + 1] <= log.answers().size()) {
    ++score.first_group;
  }
  log.keep(task.groups[score.first_group]);
  for (std::size_t i = 0; i < log.answers().size(); ++i) {
    if (log.answers()[i].id == task.questions[i].question.id) continue;
    throw Error({"answers", "the question " + log.answers()[i].id, task.questions[i].question.id,
                 "delete the file of answers"});
  }
  score.on_group = [&](std::span<const ChoiceAnswer> group) { log.append(group); };
  score_choices(model, task, score);
  return log.answers();
}

}  // namespace lcomp
