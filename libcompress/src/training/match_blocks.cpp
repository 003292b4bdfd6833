#include <filesystem>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/models/model_identity.h"
#include "lcomp/training/train.h"
#include "training/training_texts.h"
#include "training/window_stream.h"

namespace lcomp {

BlockwiseReport match_blocks(const TrainingConfig& config, const TrainingOptions& options) {
  const std::filesystem::path tokenizer_path = config.tokenizer.empty() ? config.model : config.tokenizer;
  const auto tokenizer = load_tokenizer(tokenizer_path);
  std::optional<TokenId> end_token;
  if (!config.end_token.empty()) end_token = tokenizer->token_to_id(config.end_token);
  std::vector<TrainingTexts> texts;
  std::vector<const TrainingTexts*> sources;
  std::vector<double> shares;
  for (const TrainingFile& file : config.data) {
    texts.push_back(TrainingTexts::read(file.file, *tokenizer, end_token));
    shares.push_back(file.share.at(0));
  }
  for (const TrainingTexts& each : texts) sources.push_back(&each);
  WindowStream stream(std::move(sources), config.window, config.joined, Rng(config.seed).split("texts"));
  std::vector<TokenBatch> windows;
  for (std::uint64_t w = 0; w < config.blockwise_windows; ++w) windows.push_back(stream.next(1, shares).tokens);
  const ModelFolder model = open_model(config.model);
  BlockwiseOptions blockwise = *config.blockwise;
  std::string identity = model_identity(model);
  if (!config.qat->start.empty()) identity += " " + model_identity(open_model(config.qat->start));
  blockwise.work = Workspace(config.out / "blocks", identity);
  const BlockwiseReport report =
      train_blockwise(model, *config.qat, windows, blockwise, config.out / "model", tokenizer_path, options.progress);
  nlohmann::json json = {{"config", to_json(config)}, {"result", to_json(report)}};
  if (!options.program_version.empty()) json["program"] = options.program_version;
  write_text_file(config.out / "training.json", json.dump(2) + "\n");
  blockwise.work.clear();
  return report;
}

}  // namespace lcomp
