#include "commands/calibration_option.h"

#include "lcomp/core/error.h"
#include "lcomp/eval/choice_protocol.h"

namespace lcomp {

void CalibrationOption::add_to(Command& command, CommandContext& context, bool with_order) {
  command.option("--texts FILE", files_,
                 "calibration texts: c4 (of the data folder), files: .jsonl or raw text, or the prompts of mmlu, "
                 "arc-easy or arc-challenge");
  command.option("--sequences N", sequences_, "token sequences drawn from them").at_least(1).default_is("128");
  command.option("--tokens N", tokens_, "tokens in each").at_least(1).default_is("2048");
  command.option("--seed N", seed_, "of the order in which texts are drawn").at_least(0).default_is("0");
  command.option("--short-texts", short_texts_, "concatenate shorter texts, skip them, or keep each as a sequence")
      .one_of({"concatenate", "skip", "keep"})
      .default_is("concatenate");
  command.option("--long-texts", long_texts_, "cut longer texts, or split them where first windows don't suffice")
      .one_of({"cut", "split"})
      .default_is("cut");
  command.flag("--no-bos", no_bos_, "without the tokenizer's begin token");
  command.option("--memory SIZE", memory_, "activations kept in memory, e.g. 512MiB; more go to disk")
      .in_bytes()
      .default_is("2GiB");
  command.option("--data FOLDER", context.data, "folder with the data sets, for c4").default_is("LCOMP_DATA");
  if (!with_order) return;
  command
      .option("--order", order_,
              "what a block is calibrated on: the original's outputs, those of the compressed blocks before it "
              "(block), or also of the linears before it in its block (stage)")
      .one_of({"original", "block", "stage"})
      .default_is("block");
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
