#include "lcomp/training/blockwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "lcomp/compression/compression_checkpoint.h"
#include "lcomp/compression/model_writer.h"
#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/rng.h"
#include "lcomp/forward/block_gradients.h"
#include "lcomp/models/model_components.h"

namespace lcomp {
namespace {

// Gradients of one batch after another into one Parameters.
class Keep : public GradientVisitor {
 public:
  explicit Keep(Parameters& gradient) : gradient_(gradient) {}
  bool wants_tensor(const std::string& name) override { return gradient_.find(name) != nullptr; }
  void tensor_gradient(const std::string& name, std::span<const std::size_t> /*shape*/,
                       std::span<const float> gradient) override {
    std::ranges::copy(gradient, gradient_.values(name).begin());
  }

 private:
  Parameters& gradient_;
};

// sum (a - b)^2 / sum b^2.
double relative_error(const Matrix& a, const Matrix& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a.span()[i], y = b.span()[i];
    difference += (x - y) * (x - y);
    size += y * y;
  }
  return size > 0 ? difference / size : 0;
}

std::set<std::string> linears_of(const ModelFolder& model, std::size_t layer) {
  const BlockSlices& block = model.slices.blocks[layer];
  std::set<std::string> names;
  for (const LinearSlices* linear :
       {&block.query, &block.key, &block.value, &block.output, &block.mlp.gate, &block.mlp.up, &block.mlp.down}) {
    if (!linear->weight.tensor.empty()) names.insert(linear->weight.tensor);
  }
  return names;
}

// The components outside of blocks.
std::set<std::string> outer_components(const ModelFolder& model) {
  std::set<std::string> names;
  for (const ModelComponent& component : model_components(model)) {
    if (component.kind == ComponentKind::embedding || component.kind == ComponentKind::head) {
      names.insert(component.tensor);
    }
  }
  return names;
}

class Blockwise {
 public:
  Blockwise(const ModelFolder& model, const QuantizedTraining& setting, const std::vector<TokenBatch>& windows,
            const BlockwiseOptions& options)
      : model_(model), setting_(setting), options_(options), decoder_(model), rng_(options.seed) {
    if (windows.empty()) throw Error({"blockwise", "no windows to match on", "at least one", "give more texts"});
    if (model.config.num_experts != 0) {
      throw Error({model.path.string(), "block by block, a mixture of experts", "a dense model", ""});
    }
    if (setting.plan.activations) activations_ = &*setting_.plan.activations;
    windows_ = &windows;
    for (std::size_t w = 0; w < windows.size(); ++w) {
      begins_.push_back(all_.tokens());
      add_window(w, all_);
    }
    begins_.push_back(all_.tokens());
    if (options.work) work_.emplace(options.work.with_key(work_key()).begun_anew());
  }

  BlockwiseReport run(const std::filesystem::path& out, const std::filesystem::path& tokenizer_path,
                      const ProgressCallback& callback) {
    ModelWriter writer(model_, out, true);
    BlockwiseReport report;
    Progress progress(callback, "matching blocks", model_.config.num_layers() * (options_.steps + 1));
    round_outside(writer);
    for (std::size_t layer = 0; layer < model_.config.num_layers(); ++layer) {
      report.blocks.push_back(match(layer, writer, progress));
    }
    for (const std::string& tensor : uncompressed_tensors(model_)) {
      writer.keep(tensor, model_.tensors->read(tensor));
    }
    if (activations_ != nullptr) writer.set_activations({*activations_, {}});
    writer.add_tokenizer(tokenizer_path);
    report.size = writer.finish({{"training", to_json(setting_)}, {"blockwise", to_json(report)["blocks"]}});
    return report;
  }

 private:
  std::string work_key() const {
    Hasher hasher;
    hasher.update(std::as_bytes(std::span(all_.ids)));
    hasher.update(std::as_bytes(std::span(all_.offsets)));
    hasher.update(std::as_bytes(std::span(begins_)));
    hasher.update(to_json(setting_).dump());
    hasher.update(fmt::format("{} {} {} {} {} {}", options_.steps, options_.batch, options_.rate.value_or(-1),
                              options_.step_rate.value_or(-1), options_.seed, options_.work.key()));
    return hasher.hex();
  }

  // Embedding and head by rounding, or as the model to start from has them; the residual streams begin with the
  // embedding as it is and as it was.
  void round_outside(ModelWriter& writer) {
    QuantizedTraining rounding = setting_;
    if (rounding.start.empty()) rounding.steps = StepRule::fitted;
    const std::set<std::string> names = outer_components(model_);
    ProjectedWeights outside(model_, rounding, names);
    Parameters weights(model_.path.string(), outside.trained_tensors());
    read_weights(weights);
    outside.initialize(weights, true);
    outside.project(weights);
    outside.add_to(writer);
    original_ = decoder_.embed(all_);
    quantized_ = Matrix(all_.tokens(), model_.config.hidden_size);
    const TensorSlice& slice = model_.slices.embedding;
    const auto scale = static_cast<float>(model_.config.embedding_scale);
    for (std::size_t t = 0; t < all_.tokens(); ++t) {
      outside.read_rows(slice.tensor, static_cast<std::size_t>(all_.ids[t]), 1, quantized_.row(t));
      for (float& v : quantized_.row(t)) v *= scale;
    }
  }

  void read_weights(Parameters& weights) const {
    for (const TensorInfo& info : weights.tensors()) {
      if (model_.tensors->find(info.name) == nullptr) continue;  // a step
      model_.tensors->read_rows(info.name, 0, info.rows(), weights.values(info.name));
    }
  }

  BlockMatch match(std::size_t layer, ModelWriter& writer, Progress& progress) {
    const auto start = std::chrono::steady_clock::now();
    Matrix input = quantized_.clone();
    decoder_.run_block(layer, all_, original_.view());  // now what the block's output is to be

    ProjectedWeights projected(model_, setting_, linears_of(model_, layer));
    Parameters weights(model_.path.string(), projected.trained_tensors());
    read_weights(weights);
    projected.initialize(weights, true);
    projected.project(weights);
    BlockMatch result;
    result.layer = layer;
    quantized_ = output(layer, projected, input);
    result.error_before = relative_error(quantized_, original_);
    result.error = result.error_before;
    progress.advance();
    const bool known = finished(projected);
    if (known) {
      projected.adopt([&](const std::string& tensor) { return work_->load(tensor).weight; }, weights);
    } else if (options_.steps > 0) {
      train(layer, projected, weights, input, progress);
    }
    if (known || options_.steps > 0) {
      Matrix trained = output(layer, projected, input);
      result.error = relative_error(trained, original_);
      if (result.error < result.error_before) {
        quantized_ = std::move(trained);
      } else {
        result.error = result.error_before;
        read_weights(weights);
        projected.initialize(weights, true);
        projected.project(weights);
      }
    }
    if (known) progress.advance(options_.steps);
    if (work_ && !known) {
      projected.for_each([&](const std::string& tensor, const CompressedWeight& weight) {
        work_->store(tensor, {weight, 0, {}, std::nullopt, std::nullopt});
      });
    }
    projected.add_to(writer);
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

  bool finished(const ProjectedWeights& projected) const {
    if (!work_) return false;
    bool all = true;
    projected.for_each(
        [&](const std::string& tensor, const CompressedWeight&) { all = all && work_->contains(tensor); });
    return all;
  }

  // The quantized block on all windows, some at a time.
  Matrix output(std::size_t layer, const ProjectedWeights& projected, const Matrix& input) {
    Matrix states = input.clone();
    GradientOptions options;
    options.weights = &projected;
    options.activations = activations_;
    for (std::size_t first = 0; first < windows_->size(); first += options_.batch) {
      const std::size_t last = std::min<std::size_t>(first + options_.batch, windows_->size());
      TokenBatch batch;
      for (std::size_t w = first; w < last; ++w) add_window(w, batch);
      run_block_as_trained(decoder_, layer, batch,
                           states.view().rows_range(begins_[first], begins_[last] - begins_[first]), options);
    }
    return states;
  }

  void add_window(std::size_t w, TokenBatch& batch) const {
    const TokenBatch& window = (*windows_)[w];
    for (std::size_t s = 0; s < window.sequences(); ++s) batch.add(window.sequence(s));
  }

  void train(std::size_t layer, ProjectedWeights& projected, Parameters& weights, const Matrix& input,
             Progress& progress) {
    const std::size_t hidden = model_.config.hidden_size;
    const double steps = static_cast<double>(options_.steps);
    Parameters gradient(model_.path.string(), projected.trained_tensors());
    Keep visitor(gradient);
    GradientOptions options;
    options.weights = &projected;
    options.activations = activations_;
    Rng rng = rng_.split(layer);
    std::vector<std::size_t> order;
    for (std::uint64_t step = 0; step < options_.steps; ++step) {
      TokenBatch batch;
      std::vector<std::size_t> chosen;
      for (std::uint64_t i = 0; i < std::min<std::uint64_t>(options_.batch, windows_->size()); ++i) {
        if (order.empty()) {
          for (std::size_t w = 0; w < windows_->size(); ++w) order.push_back(w);
          rng.shuffle(std::span(order));
        }
        chosen.push_back(order.back());
        order.pop_back();
        add_window(chosen.back(), batch);
      }
      Matrix in(batch.tokens(), hidden), target(batch.tokens(), hidden);
      std::size_t row = 0;
      for (const std::size_t w : chosen) {
        const std::size_t count = begins_[w + 1] - begins_[w];
        std::copy_n(input.row(begins_[w]).data(), count * hidden, in.row(row).data());
        std::copy_n(original_.row(begins_[w]).data(), count * hidden, target.row(row).data());
        row += count;
      }
      block_gradients(decoder_, layer, batch, in.view(), target.view(), visitor, options);
      projected.pass_back(weights, gradient);
      const double left = 1 - static_cast<double>(step) / steps;
      projected.update_by_sign(options_.rate.value_or(1 / steps) * left, options_.step_rate.value_or(1 / steps) * left,
                               gradient, weights);
      projected.project(weights);
      progress.advance();
    }
  }

  const ModelFolder& model_;
  const QuantizedTraining& setting_;
  const BlockwiseOptions& options_;
  Decoder decoder_;
  Rng rng_;
  const ActivationSetting* activations_ = nullptr;
  const std::vector<TokenBatch>* windows_ = nullptr;
  std::optional<CompressionCheckpoint> work_;
  TokenBatch all_;                   // their sequences, one after another
  std::vector<std::size_t> begins_;  // of each window, in tokens; and the end
  Matrix original_, quantized_;      // residual streams, [tokens, hidden]
};

}  // namespace

nlohmann::json to_json(const BlockwiseReport& report) {
  nlohmann::json blocks = nlohmann::json::array();
  for (const BlockMatch& block : report.blocks) {
    blocks.push_back({{"layer", block.layer},
                      {"error_before", block.error_before},
                      {"error", block.error},
                      {"seconds", block.seconds}});
  }
  return {{"blocks", blocks}, {"parameters", report.size.parameters}, {"bytes", report.size.bytes}};
}

BlockwiseReport train_blockwise(const ModelFolder& model, const QuantizedTraining& setting,
                                const std::vector<TokenBatch>& windows, const BlockwiseOptions& options,
                                const std::filesystem::path& out, const std::filesystem::path& tokenizer_path,
                                const ProgressCallback& progress) {
  return Blockwise(model, setting, windows, options).run(out, tokenizer_path, progress);
}

}  // namespace lcomp
