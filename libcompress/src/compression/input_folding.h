#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lcomp/compression/compression_checkpoint.h"
#include "lcomp/compression/compression_plan.h"
#include "lcomp/compression/statistics_source.h"
#include "lcomp/core/progress.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/models/scalable_inputs.h"
#include "lcomp/quantizers/transforms/input_scaling.h"

namespace lcomp {

// The scaling of input channels that is stored nowhere (InputScalingOptions::fold): the norm or linear layer that makes
// an input (models/scalable_inputs.h) is multiplied by c, the columns of all linear layers that read it by 1 / c, so
// that the model's function is the same and the weights are easier to round. c is one for all that share the input,
//   c_j = (rms_j / norm)^-alpha        with the root mean square of all that reach a factor's channels
// (quantizers/input_scaling.h), and of several alphas the one of least
//   sum over the layers of n tr((W - W^) H (W - W^)^T)          n: calibration tokens, W^: by the layer's own method
// Rows are as in the original there: methods with a scale a row or group hardly see a factor of a row.
// Norms and biases cost no more than before: where one is made of 16-bit values, c is moved to the nearest factor that
// makes it 16-bit values again, and it is that c that the columns are divided by. (Powers of two would keep all bits
// everywhere, but win nothing: the proxy error of the reference layer by rtn at 3 bits, group 64, is 8528 without
// scales, 7245 with the best alpha, and 8528 with the best alpha to powers of two.) Only the biases of LayerNorms,
// whose gains have chosen c, and routers that are kept may need 32 bits.
class InputFolding {
 public:
  // Finds the inputs to scale, and takes the folded scales out of the settings of the layers that read them, and of an
  // embedding, which has none, tied or not. Settings of other layers keep theirs, which is then stored. Throws Error
  // naming components: linear layers that share an input of which not all have the same scale, and a rate-coded or
  // banded weight among those that would change, whose sensitivities are those of the original.
  InputFolding(const ModelFolder& model, const std::vector<ModelComponent>& components,
               std::vector<ComponentSetting>& settings);

  bool empty() const { return inputs_.empty(); }
  // Whether a component's input is scaled, and by which options.
  bool scales_input(std::size_t component) const { return input_of_[component].has_value(); }
  const InputScalingOptions& options(std::size_t component) const { return inputs_[*input_of_[component]].options; }
  // One whose input is scaled, where there is any: for messages.
  std::size_t first_scaled() const { return inputs_.front().readers.front(); }
  // A linear that asked for a folded scale and stores it, since nothing can take it.
  bool stores_scale(std::size_t component) const { return stores_scale_[component]; }
  // Whether a tensor that is kept may not be what 16 bits hold any more.
  bool may_widen(const std::string& tensor) const { return widening_.contains(tensor); }

  // How a component's weight is quantized; `known` is null where there are no statistics.
  using Quantize = std::function<CompressedWeight(std::size_t component, const Matrix& weight,
                                                  const std::shared_ptr<const LayerStats>& known)>;
  // Chooses the scales, where there are any to choose (asserted). Those in `checkpoint` (may be null) are taken from
  // there; others are kept there. Scales must be known before anything is compressed: statistics are the original's.
  void choose(RandomAccessStatistics& statistics, const Quantize& quantize, CompressionCheckpoint* checkpoint,
              const ProgressCallback& progress);

  // The model with scaled weights and norms; the original before choose().
  const ModelFolder& model() const { return model_; }
  // What is known of the scaled input of a component, from what is known of the input; the same where it is not scaled.
  // Without the distribution of its values and sensitivities.
  std::shared_ptr<const LayerStats> scaled(std::size_t component, std::shared_ptr<const LayerStats> known) const;

 private:
  struct Input {
    ScalableInput scalable;
    InputScalingOptions options;
    std::vector<std::size_t> readers;  // components, each once, without routers that are kept
    std::vector<float> scales;         // c [factors]
  };

  std::vector<float> storable(const ScalableInput& input, std::vector<float> scales) const;
  std::vector<float> channel_scales(const Input& input, const std::vector<float>& scales) const;
  std::vector<float> choose_scales(const Input& input, RandomAccessStatistics& statistics, const Quantize& quantize,
                                   Progress& progress) const;
  void rescale_model();

  ModelFolder model_;
  const std::vector<ModelComponent>& components_;
  std::vector<Input> inputs_;
  std::vector<std::optional<std::size_t>> input_of_;  // as components: index into inputs_
  std::vector<bool> stores_scale_;                    // as components
  std::set<std::string> widening_;                    // tensors
};

}  // namespace lcomp
