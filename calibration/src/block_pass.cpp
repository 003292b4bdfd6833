#include "block_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <map>
#include <string_view>
#include <utility>

#include "lcomp/core/error.h"
#include "lcomp/core/stage_times.h"

namespace lcomp {

// Adds what linear layers are given to the sums of their group.
class BlockPass::Visitor : public BlockVisitor {
 public:
  Visitor(const BlockPass& pass, std::span<const InputGroup> groups,
          std::span<const std::unique_ptr<InputAccumulator>> sums)
      : pass_(pass) {
    for (std::size_t g = 0; g < groups.size(); ++g) sums_[groups[g].components.front()] = sums[g].get();
  }

  void begin_slice(std::size_t first_token) { slice_begin_ = first_token; }

  void linear_input(std::size_t layer, std::span<const std::string> components, std::size_t first_token,
                    ConstMatrixView input) override {
    add(layer, components.front(), input, [&](std::size_t row) { return first_token + row; });
  }

  void expert_input(std::size_t layer, std::span<const std::string> components, std::span<const std::size_t> tokens,
                    ConstMatrixView input) override {
    add(layer, components.front(), input, [&](std::size_t row) { return tokens[row]; });
  }

 private:
  // token(row): which token of the slice a row of the input is.
  template <typename Token>
  void add(std::size_t layer, const std::string& component, ConstMatrixView input, const Token& token) {
    const auto found = sums_.find(component);
    if (found == sums_.end()) return;
    found->second->add(input, [&](std::size_t row) {
      return fmt::format("layer {}, {}, {}", layer, component, pass_.place(slice_begin_ + token(row)));
    });
  }

  const BlockPass& pass_;
  std::map<std::string, InputAccumulator*, std::less<>> sums_;
  std::size_t slice_begin_ = 0;
};

std::vector<BlockPass::Slice> BlockPass::cut(const TokenBatch& batch, std::size_t tokens_at_once) {
  if (batch.tokens() == 0) {
    throw Error({"calibration", "no tokens", "at least one sequence of tokens", "give calibration texts"});
  }
  std::vector<Slice> slices;
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    const std::size_t length = batch.sequence(s).size();
    if (length == 0) throw Error({"calibration", fmt::format("sequence {} is empty", s), "at least one token", ""});
    if (slices.empty() || slices.back().tokens + length > tokens_at_once) {
      slices.push_back({s, 0, batch.offsets[s], 0});
    }
    slices.back().sequences += 1;
    slices.back().tokens += length;
  }
  return slices;
}

BlockPass::BlockPass(Decoder& decoder, const TokenBatch& batch, const CalibrationOptions& options,
                     const std::filesystem::path& spill_folder)
    : decoder_(decoder),
      batch_(batch),
      options_(options),
      slices_(cut(batch, options.tokens_at_once)),
      stream_(batch.tokens(), decoder.config().hidden_size, options.storage, options.memory_limit,
              options.spill_folder.empty() ? spill_folder : options.spill_folder) {
  std::size_t largest = 0;
  for (const Slice& slice : slices_) largest = std::max(largest, slice.tokens);
  states_ = Matrix(largest, decoder.config().hidden_size);
}

void BlockPass::begin_progress(const std::string& label, std::uint64_t steps) {
  progress_label_ = label;
  ProgressCallback callback;
  if (options_.progress) {
    callback = [this](const ProgressEvent& event) {
      ProgressEvent labelled = event;
      const std::size_t layers = decoder_.config().num_layers();
      labelled.label = layer_ < layers ? fmt::format("{}, layer {} of {}", progress_label_, layer_ + 1, layers)
                                       : fmt::format("{}, head", progress_label_);
      options_.progress(labelled);
    };
  }
  progress_.emplace(std::move(callback), label, steps);
}

void BlockPass::step() {
  if (progress_) progress_->advance();
}

TokenBatch BlockPass::tokens_of(const Slice& slice) const {
  TokenBatch tokens;
  for (std::size_t s = 0; s < slice.sequences; ++s) tokens.add(batch_.sequence(slice.first_sequence + s));
  return tokens;
}

std::string BlockPass::place(std::size_t token) const {
  const auto after = std::ranges::upper_bound(batch_.offsets, token);
  const auto sequence = static_cast<std::size_t>(after - batch_.offsets.begin()) - 1;
  return fmt::format("sequence {}, position {}", sequence, token - batch_.offsets[sequence]);
}

void BlockPass::embed() {
  for (const Slice& slice : slices_) stream_.write(slice.first_token, decoder_.embed(tokens_of(slice)).view());
}

std::vector<std::span<const InputGroup>> BlockPass::batches(std::span<const InputGroup> groups) const {
  std::vector<std::span<const InputGroup>> batches;
  std::size_t begin = 0;
  std::uint64_t bytes = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::uint64_t more = InputAccumulator::memory(groups[g].in_features);
    if (g > begin && bytes + more > options_.accumulator_limit) {
      batches.push_back(groups.subspan(begin, g - begin));
      begin = g;
      bytes = 0;
    }
    bytes += more;
  }
  batches.push_back(groups.subspan(begin));
  return batches;
}

void BlockPass::run(std::size_t layer, std::span<const InputGroup> groups, const TensorSource* weights, bool advance,
                    const Use& use) {
  const StageTimer timer("forward");
  layer_ = layer;
  const auto all = batches(groups);
  for (std::size_t b = 0; b < all.size(); ++b) {
    std::vector<std::unique_ptr<InputAccumulator>> sums;
    for (const InputGroup& group : all[b]) sums.push_back(std::make_unique<InputAccumulator>(group.in_features));
    const bool keep_output = advance && b + 1 == all.size();
    const bool attention_only =
        !keep_output && !decoder_.config().parallel_block &&
        std::ranges::all_of(all[b], [](const InputGroup& group) { return group.stage < mlp_stage; });
    const BlockPart part = attention_only ? BlockPart::attention : BlockPart::whole;
    Visitor visitor(*this, all[b], sums);
    ForwardOptions forward;
    forward.weights = weights;
    forward.visitor = &visitor;
    for (const Slice& slice : slices_) {
      const MatrixView<float> states = states_.view().rows_range(0, slice.tokens);
      stream_.read(slice.first_token, states);
      visitor.begin_slice(slice.first_token);
      decoder_.run_block(layer, tokens_of(slice), states, forward, part);
      if (keep_output) stream_.write(slice.first_token, states);
      step();
    }
    for (std::size_t g = 0; g < sums.size(); ++g) {
      use(all[b][g], *sums[g]);
      sums[g].reset();
    }
  }
}

InputAccumulator BlockPass::gather_head() {
  const StageTimer timer("forward");
  layer_ = decoder_.config().num_layers();
  InputAccumulator sums(decoder_.config().hidden_size);
  for (const Slice& slice : slices_) {
    const MatrixView<float> states = states_.view().rows_range(0, slice.tokens);
    stream_.read(slice.first_token, states);
    decoder_.normalize(states);
    sums.add(states, [&](std::size_t row) {
      return fmt::format("{}, {}", head_group(model()).components.front(), place(slice.first_token + row));
    });
    step();
  }
  return sums;
}

}  // namespace lcomp
