#include "lcomp/calibration/sensitivity.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <utility>

#include "archive_layout.h"
#include "lcomp/calibration/calibrate.h"
#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/core/error.h"
#include "lcomp/forward/gradients.h"
#include "sensitivity_layout.h"
#include "sensitivity_sums.h"

namespace lcomp {
namespace {

constexpr int values_version = 1;  // raised when the same arguments give other values

std::string describe(const SensitivityOptions& options) {
  return fmt::format("{} draws, seed {}, {} row groups, version {}", options.draws, options.seed, options.row_groups,
                     values_version);
}

TokenBatch repeated(const TokenBatch& batch, std::size_t times) {
  TokenBatch all;
  for (std::size_t i = 0; i < times; ++i) {
    for (std::size_t s = 0; s < batch.sequences(); ++s) all.add(batch.sequence(s));
  }
  return all;
}

std::unique_ptr<LogitCost> make_cost(const SensitivityOptions& options, const TokenBatch& batch) {
  if (options.cost == SensitivityCost::cross_entropy) return std::make_unique<NextTokenCost>(batch);
  return std::make_unique<SampledLabelCost>(batch.tokens(), options.seed);
}

std::size_t scored_tokens(const LogitCost& cost, std::size_t tokens) {
  std::size_t scored = 0;
  for (std::size_t t = 0; t < tokens; ++t) scored += cost.needs(t) ? 1 : 0;
  return scored;
}

// Gathers the sums of one layer after the other and writes each when the next one begins.
class SensitivityPass : public GradientVisitor {
 public:
  SensitivityPass(Archive& archive, const ModelFolder& model, const SensitivityOptions& options, std::size_t tokens,
                  std::size_t scored)
      : archive_(archive),
        options_(options),
        layers_(model.config.num_layers()),
        tokens_(tokens),
        scored_(static_cast<double>(scored)),
        embedding_(component_of(model.slices.embedding.tensor)),
        tied_(model.config.tied_head),
        vocab_size_(model.config.vocab_size),
        hidden_size_(model.config.hidden_size) {}

  void linear_gradient(const LinearGradient& gradient) override {
    if (gradient.layer != layer_) finish_layer();
    layer_ = gradient.layer;
    if (is_done(layer_)) return;
    for (const ComponentOutputs& outputs : gradient.components) {
      SensitivitySums& sums = sums_of(outputs.component, outputs.count, gradient.input.cols(), options_.row_groups);
      sums.add(gradient.input, gradient.output_gradient.cols_range(outputs.begin, outputs.count), scored_);
    }
  }

  void embedding_gradient(std::size_t /*first_token*/, std::span<const std::int32_t> ids,
                          ConstMatrixView gradient) override {
    if (!in_embedding_) {
      finish_layer();
      in_embedding_ = true;
      if (tied_) sums_ = std::move(head_);
    }
    sums_of(embedding_, vocab_size_, hidden_size_, 0).add_embedding(ids, gradient, scored_);
  }

  void finish() { write_layer(embedding_item(options_.cost)); }

 private:
  static std::string component_of(const std::string& tensor) {
    constexpr std::string_view ending = ".weight";
    return tensor.ends_with(ending) ? tensor.substr(0, tensor.size() - ending.size()) : tensor;
  }

  bool is_done(std::size_t layer) const {
    if (layer == layers_ && tied_) return false;  // written with the embedding
    return archive_.contains(sensitivity_layer_item(options_.cost, layer));
  }

  SensitivitySums& sums_of(const std::string& component, std::size_t out, std::size_t in, std::size_t groups) {
    std::unique_ptr<SensitivitySums>& sums = sums_[component];
    if (sums == nullptr) sums = std::make_unique<SensitivitySums>(out, in, groups);
    return *sums;
  }

  void finish_layer() {
    if (sums_.empty()) return;
    if (layer_ == layers_ && tied_) {
      head_ = std::move(sums_);  // the embedding's use comes last
      sums_.clear();
    } else {
      write_layer(sensitivity_layer_item(options_.cost, layer_));
    }
  }

  void write_layer(const std::string& item) {
    std::vector<StoredSensitivity> stored;
    for (auto& [component, sums] : sums_) {
      stored.push_back(write_sensitivity(archive_, options_.cost, component, *sums, tokens_));
    }
    write_sensitivities(archive_, item, stored);
    sums_.clear();
  }

  Archive& archive_;
  const SensitivityOptions& options_;
  std::size_t layers_;
  std::size_t tokens_;
  double scored_;
  std::string embedding_;
  bool tied_;
  std::size_t vocab_size_, hidden_size_;

  std::size_t layer_ = 0;
  bool in_embedding_ = false;
  std::map<std::string, std::unique_ptr<SensitivitySums>> sums_, head_;
};

// Writes what the sensitivities of this cost are made with, or checks that it is the same.
void claim(Archive& archive, const SensitivityOptions& options, const std::string& where) {
  const std::string item = sensitivity_options_item(options.cost);
  const std::string wanted = describe(options);
  if (!archive.contains(item)) {
    archive.write_bytes(item, std::as_bytes(std::span(wanted)));
    return;
  }
  const std::vector<std::byte> bytes = archive.read_bytes(item);
  const std::string found(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (found != wanted) {
    throw Error({where, fmt::format("sensitivities ({}) of other options: {}", name(options.cost), found), wanted,
                 "calibrate into another folder"});
  }
}

}  // namespace

std::string_view name(SensitivityCost cost) {
  return cost == SensitivityCost::divergence ? "divergence" : "cross_entropy";
}

void add_sensitivities(Decoder& decoder, const TokenBatch& batch, const std::filesystem::path& archive,
                       const SensitivityOptions& options) {
  if (options.draws == 0 || (options.draws > 1 && options.cost == SensitivityCost::cross_entropy)) {
    throw Error({"sensitivity", fmt::format("{} draws of labels", options.draws),
                 options.draws == 0 ? "at least 1" : "1: the labels of cross entropy are the texts' own", ""});
  }
  const CalibrationKey found = CalibrationArchive::open(archive).key();
  CalibrationKey expected = calibration_key(decoder.model(), decoder.compute(), batch);
  expected.options = found.options;
  require_same(found, expected, archive.string());

  Archive items = Archive::open(archive, found.text());
  items.lock();
  claim(items, options, archive.string());
  if (items.contains(embedding_item(options.cost))) return;
  const TokenBatch all = repeated(batch, options.draws);
  const std::unique_ptr<LogitCost> cost = make_cost(options, all);
  SensitivityPass pass(items, decoder.model(), options, all.tokens(), scored_tokens(*cost, all.tokens()));
  GradientOptions gradient_options;
  gradient_options.progress = options.progress;
  gradient_options.progress_label = "sensitivities";
  gradient_options.memory_limit = options.memory_limit;
  gradient_options.storage = ResidualStorage::scaled_half;
  gradients(decoder, all, *cost, pass, gradient_options);
  pass.finish();
}

}  // namespace lcomp
