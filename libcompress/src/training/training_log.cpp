#include "lcomp/training/training_log.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <sstream>
#include <string>
#include <string_view>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"

namespace lcomp {
namespace {

constexpr std::string_view header = "step,loss,learning_rate,gradient_norm,tokens,seconds,held_out_loss";

std::string line_of(const TrainingLogRow& row) {
  return fmt::format("{},{:.6f},{:.6g},{:.6g},{},{:.2f},{}\n", row.step, row.loss, row.learning_rate, row.gradient_norm,
                     row.tokens, row.seconds, row.held_out_loss ? fmt::format("{:.6f}", *row.held_out_loss) : "");
}

template <typename T>
bool parse(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_line(const std::string& line, TrainingLogRow& row) {
  std::vector<std::string_view> cells;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(',', begin), line.size());
    cells.push_back(std::string_view(line).substr(begin, end - begin));
    begin = end + 1;
  }
  if (cells.size() != 7) return false;
  double held_out = 0;
  const bool fine = parse(cells[0], row.step) && parse(cells[1], row.loss) && parse(cells[2], row.learning_rate) &&
                    parse(cells[3], row.gradient_norm) && parse(cells[4], row.tokens) && parse(cells[5], row.seconds) &&
                    (cells[6].empty() || parse(cells[6], held_out));
  if (fine && !cells[6].empty()) row.held_out_loss = held_out;
  return fine;
}

}  // namespace

std::vector<TrainingLogRow> read_training_log(const std::filesystem::path& file) {
  std::istringstream text(read_text_file(file));
  std::vector<TrainingLogRow> rows;
  std::string line;
  for (std::size_t number = 1; std::getline(text, line); ++number) {
    const std::string where = fmt::format("{}: line {}", file.string(), number);
    if (number == 1) {
      if (line != header) throw Error({where, "no header of a training's log", std::string(header), ""});
      continue;
    }
    TrainingLogRow row;
    if (!parse_line(line, row)) {
      if (text.eof()) break;  // cut off by a kill
      throw Error({where, "no row of a training's log", std::string(header), ""});
    }
    rows.push_back(row);
  }
  return rows;
}

TrainingLog::TrainingLog(const std::filesystem::path& file, std::uint64_t steps) : file_(file) {
  std::string text = std::string(header) + "\n";
  if (steps > 0 && std::filesystem::exists(file)) {
    for (const TrainingLogRow& row : read_training_log(file)) {
      if (row.step <= steps) text += line_of(row);
    }
  }
  write_text_file(file, text);
  stream_.open(file, std::ios::app);
  if (!stream_) throw system_error(file.string(), "open", errno);
}

void TrainingLog::append(const TrainingLogRow& row) {
  stream_ << line_of(row) << std::flush;
  if (!stream_) throw system_error(file_.string(), "write", errno);
}

}  // namespace lcomp
