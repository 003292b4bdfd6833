#include "commands/calibration_option.h"

#include "lcomp/core/error.h"
#include "lcomp/eval/choice_protocol.h"

namespace lcomp {

void CalibrationOption::add_to(CLI::App& command, CommandContext& context, bool with_order) {
  command
      .add_option(
          "--texts", files_,
          "calibration texts: c4 (of the data folder), files: .jsonl or raw text, or the prompts of mmlu, arc-easy or "
          "arc-challenge")
      ->expected(1, 1000);
  command.add_option("--sequences", sequences_, "token sequences drawn from them (default: 128)")
      ->check(CLI::PositiveNumber);
  command.add_option("--tokens", tokens_, "tokens in each (default: 2048)")->check(CLI::PositiveNumber);
  command.add_option("--seed", seed_, "of the order in which texts are drawn (default: 0)")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--short-texts", short_texts_,
                  "concatenate shorter texts, skip them, or keep each as a sequence (default: concatenate)")
      ->check(CLI::IsMember({"concatenate", "skip", "keep"}));
  command
      .add_option("--long-texts", long_texts_,
                  "cut longer texts, or split them where first windows don't suffice (default: cut)")
      ->check(CLI::IsMember({"cut", "split"}));
  command.add_flag("--no-bos", no_bos_, "without the tokenizer's begin token");
  command.add_option("--memory", memory_, "activations kept in memory, e.g. 512MiB; more go to disk (default: 2GiB)")
      ->transform(CLI::AsSizeValue(false));
  command.add_option("--data", context.data, "folder with the data sets, for c4 (default: LCOMP_DATA)");
  if (!with_order) return;
  command
      .add_option("--order", order_,
                  "what a block is calibrated on: the original's outputs, those of the compressed blocks before it "
                  "(block), or also of the linears before it in its block (stage) (default: block)")
      ->check(CLI::IsMember({"original", "block", "stage"}));
}

nlohmann::json CalibrationOption::json(nlohmann::json base) const {
  const bool named = files_.size() == 1 && (files_[0] == "c4" || ChoiceProtocol::task_from_name(files_[0]));
  if (named) {
    base["texts"] = files_[0];
  } else if (!files_.empty()) {
    base["texts"] = files_;
  }
  if (sequences_) base["sequences"] = *sequences_;
  if (tokens_) base["tokens"] = *tokens_;
  if (seed_) base["seed"] = *seed_;
  if (memory_) base["memory"] = *memory_;
  if (!short_texts_.empty()) base["short_texts"] = short_texts_;
  if (!long_texts_.empty()) base["long_texts"] = long_texts_;
  if (!order_.empty()) base["order"] = order_;
  if (no_bos_) base["bos"] = false;
  return base;
}

CalibrationSetting CalibrationOption::setting(const std::string& data) const {
  if (!given()) throw Error({"--texts", "no calibration texts", "c4, or files", ""});
  return CalibrationSetting::from_json(json(), "command line", data);
}

}  // namespace lcomp
