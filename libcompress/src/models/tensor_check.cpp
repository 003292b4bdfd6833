#include "lcomp/models/tensor_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

void visit_linear(const LinearSlices& linear, const std::function<void(const TensorSlice&)>& visit) {
  if (!linear.weight.tensor.empty()) visit(linear.weight);
  if (!linear.bias.tensor.empty()) visit(linear.bias);
}

void visit_norm(const NormSlices& norm, const std::function<void(const TensorSlice&)>& visit) {
  if (!norm.gain.tensor.empty()) visit(norm.gain);
  if (!norm.bias.tensor.empty()) visit(norm.bias);
}

void visit_mlp(const MlpSlices& mlp, const std::function<void(const TensorSlice&)>& visit) {
  for (const LinearSlices* linear : {&mlp.gate, &mlp.up, &mlp.down}) visit_linear(*linear, visit);
}

bool is_computed_buffer(std::string_view name) {
  constexpr std::array<std::string_view, 6> suffixes = {"rotary_emb.inv_freq",   "rotary_emb.cos_cached",
                                                        "rotary_emb.sin_cached", ".attn.bias",
                                                        ".attn.masked_bias",     "embeddings.position_ids"};
  return std::any_of(suffixes.begin(), suffixes.end(), [&](std::string_view suffix) { return name.ends_with(suffix); });
}

struct Expected {
  std::size_t rows = 0;
  std::size_t cols = 0;
};

std::string shape_text(const std::vector<std::size_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace

void for_each_slice(const DecoderSlices& slices, const std::function<void(const TensorSlice&)>& visit) {
  visit(slices.embedding);
  for (const BlockSlices& block : slices.blocks) {
    for (const NormSlices* norm : {&block.input_norm, &block.post_attention_norm, &block.pre_mlp_norm,
                                   &block.post_mlp_norm, &block.query_norm, &block.key_norm}) {
      visit_norm(*norm, visit);
    }
    for (const LinearSlices* linear : {&block.query, &block.key, &block.value, &block.output, &block.router}) {
      visit_linear(*linear, visit);
    }
    visit_mlp(block.mlp, visit);
    for (const MlpSlices& expert : block.experts) visit_mlp(expert, visit);
  }
  visit_norm(slices.final_norm, visit);
  visit_linear(slices.head, visit);
}

void check_tensors(const TensorSource& source, const DecoderConfig& config, const DecoderSlices& slices) {
  std::map<std::string, Expected, std::less<>> expected;
  for_each_slice(slices, [&](const TensorSlice& slice) {
    Expected& tensor = expected[slice.tensor];
    tensor.rows =
        std::max(tensor.rows, slice.row_begin + slice.rows);  // a fused tensor is as long as its last part says
    tensor.cols = slice.cols;
  });
  std::vector<std::string> problems;
  for (const auto& [name, wanted] : expected) {
    const TensorInfo* info = source.find(name);
    std::vector<std::size_t> shape = {wanted.rows};
    const bool vector = info != nullptr && info->shape.size() == 1 && wanted.cols == 1;
    if (!vector) shape.push_back(wanted.cols);
    if (info == nullptr) {
      if (wanted.cols == 1) shape.pop_back();
      problems.push_back(fmt::format("\"{}\" {} is missing", name, shape_text(shape)));
    } else if (info->shape != shape) {
      const bool vocabulary = name == slices.embedding.tensor || name == slices.head.weight.tensor;
      problems.push_back(fmt::format("\"{}\" is {} instead of {}{}", name, shape_text(info->shape), shape_text(shape),
                                     vocabulary ? " (vocab_size x hidden_size)" : ""));
    }
  }
  for (const TensorInfo& info : source.tensors()) {
    if (expected.contains(info.name) || is_computed_buffer(info.name)) continue;
    if (config.tied_head && info.name == "lm_head.weight") continue;
    problems.push_back(fmt::format("\"{}\" {} has no place in this architecture", info.name, shape_text(info.shape)));
  }
  if (problems.empty()) return;
  constexpr std::size_t shown = 8;
  std::string found =
      fmt::format("{} {} config.json: {}", problems.size(),
                  problems.size() == 1 ? "tensor that contradicts" : "tensors that contradict",
                  fmt::join(problems.begin(),
                            problems.begin() + static_cast<std::ptrdiff_t>(std::min(shown, problems.size())), "; "));
  if (problems.size() > shown) found += fmt::format("; and {} more", problems.size() - shown);
  throw Error({source.where(), found, fmt::format("the tensors of a \"{}\" model", config.family), ""});
}

}  // namespace lcomp
