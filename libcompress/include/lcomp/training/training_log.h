#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

namespace lcomp {

// One update, in log.csv: step,loss,learning_rate,gradient_norm,tokens,seconds,held_out_loss
struct TrainingLogRow {
  std::uint64_t step = 0;  // 1: the first update
  double loss = 0;         // before the update
  double learning_rate = 0;
  double gradient_norm = 0;             // before clipping
  std::uint64_t tokens = 0;             // all that went through the model so far
  double seconds = 0;                   // of training, those before an interruption included
  std::optional<double> held_out_loss;  // after the update, where it was evaluated
};

class TrainingLog {
 public:
  // Keeps the rows of a log that is there up to `steps`, of a training that goes on from there. Throws Error for
  // a file that is no such log.
  TrainingLog(const std::filesystem::path& file, std::uint64_t steps);
  // Throws Error when the disk is full.
  void append(const TrainingLogRow& row);

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
};

// Throws Error naming the line for a file that is no such log.
std::vector<TrainingLogRow> read_training_log(const std::filesystem::path& file);

}  // namespace lcomp
