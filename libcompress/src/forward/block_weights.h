#pragma once

#include <string>
#include <vector>

#include "forward/linear.h"
#include "forward/norm.h"
#include "lcomp/io/tensor_source.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// Reads parts of a model into float32, all threads at once. Every value is checked: NaN or infinity is an Error that
// names the tensor and the position. The working memory, the largest linear layer read so far, is kept.
// Layers that multiply integers are not decoded: their codes are packed as they are stored.
class WeightReader {
 public:
  // activations: of the layers that read_rounded() reads; null: they are read like any other. Must outlive this.
  explicit WeightReader(const ActivationQuantization* activations = nullptr) : activations_(activations) {}

  void read(const TensorSource& source, const TensorSlice& slice, std::span<float> out) const;  // rows * cols values
  // The parts one below the other, as one linear layer; each is [its rows, the same cols].
  void read(const TensorSource& source, std::span<const LinearSlices* const> parts, const MatrixMultiplier& multiplier,
            LinearWeight& out);
  // The same, packed for both directions of a product, or for products with the transpose alone.
  void read(const TensorSource& source, std::span<const LinearSlices* const> parts, const MatrixMultiplier& multiplier,
            LinearWeight& out, LinearWeight& transposed);
  void read_transposed(const TensorSource& source, std::span<const LinearSlices* const> parts,
                       const MatrixMultiplier& multiplier, LinearWeight& transposed);
  // The same for a layer whose input is rounded where activations are. Throws Error naming the tensor for a source that
  // doesn't store it as integers, and for an input without the grid that it should have.
  void read_rounded(const TensorSource& source, std::span<const LinearSlices* const> parts,
                    const MatrixMultiplier& multiplier, LinearWeight& out);
  // What read_rounded() would throw for this layer, without reading it; nothing for a layer that is absent.
  void check_rounded(const TensorSource& source, const LinearSlices& linear) const;
  // Nothing for an absent norm.
  void read(const TensorSource& source, const NormSlices& slices, NormKind kind, NormWeights& out) const;

 private:
  // The weights of the parts, in the working memory.
  ConstMatrixView read_weights(const TensorSource& source, std::span<const LinearSlices* const> parts);
  IntegerPart integer_part(const TensorSource& source, const LinearSlices& linear) const;
  std::vector<float> read_bias(const TensorSource& source, std::span<const LinearSlices* const> parts) const;

  const ActivationQuantization* activations_;
  AlignedBuffer<float> staging_;
};

// The attention half of a block: what a token meets between two residual sums. q, k and v are one linear layer.
struct AttentionWeights {
  NormWeights input_norm, post_norm, query_norm, key_norm;
  LinearWeight query_key_value;  // rows: q, k, v
  LinearWeight output;
};

// The MLP half. gate and up are one linear layer.
struct MlpWeights {
  NormWeights input_norm, post_norm;
  LinearWeight gate_up;  // rows: gate, then up; up alone for a plain MLP
  LinearWeight down;
};

// The MLP half of a mixture of experts, without the experts.
struct RouterWeights {
  NormWeights input_norm;
  LinearWeight router;
};

// A whole block in memory: mlp, or router and experts.
struct BlockWeights {
  AttentionWeights attention;
  MlpWeights mlp;
  RouterWeights router;
  std::vector<MlpWeights> experts;  // norms are absent
};

void read_attention(WeightReader& reader, const TensorSource& source, const DecoderConfig& config,
                    const BlockSlices& slices, const MatrixMultiplier& multiplier, AttentionWeights& out);
void read_mlp(WeightReader& reader, const TensorSource& source, const DecoderConfig& config, const BlockSlices& slices,
              const MatrixMultiplier& multiplier, MlpWeights& out);

void read_router(WeightReader& reader, const TensorSource& source, const DecoderConfig& config,
                 const BlockSlices& slices, const MatrixMultiplier& multiplier, RouterWeights& out);
void read_expert(WeightReader& reader, const TensorSource& source, const DecoderConfig& config, const MlpSlices& slices,
                 const MatrixMultiplier& multiplier, MlpWeights& out);
// Everything of a block.
void read_block(WeightReader& reader, const TensorSource& source, const DecoderConfig& config,
                const BlockSlices& slices, const MatrixMultiplier& multiplier, BlockWeights& out);

// Throws Error as read_rounded() would for the layers whose inputs model.activations says are rounded.
void check_rounded_layers(const ModelFolder& model);

// Names of the linear layers without ".weight", each once: what BlockVisitor reports.
std::vector<std::string> component_names(std::span<const LinearSlices* const> parts);

}  // namespace lcomp
