#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lcomp/archive/archive.h"
#include "lcomp/calibration/calibration_key.h"
#include "lcomp/calibration/input_statistics.h"
#include "lcomp/calibration/sensitivity.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// The statistics that calibrate() made, read from disk as they are asked for. The archive (archive/archive.h) has, for
// each different input, named for the first linear layer that is given it:
//   hessian/NAME    [in_features (in_features + 1) / 2, 1]: H, rows of its lower triangle one after the other
//   ranges/NAME     [2, in_features]: mean; absolute maximum
//   histogram/NAME  doubles: how the values of all channels are distributed (InputHistogram::to_numbers)
//   layer-NNNNN     bytes, a JSON text: {"inputs": [{"components": [...], "in_features": ..., "tokens": ...}, ...]};
//                   written after the items of the layer, which is finished when this is there
//   head            the same for the output head
//   token_counts    doubles, [vocab]: how often each token occurs in the calibration data
// and, where add_sensitivities() was there, for COST divergence or cross_entropy
//   sensitivity/COST/NAME     [1, 2 out_features + in_features]: outputs, rows, columns of Sensitivity
//   guided/COST/NAME/K        as hessian/NAME: the guided Hessian of the K-th group of rows
//   sensitivity-COST-options  bytes: in words, what they were made with
//   sensitivity-COST-layer-NNNNN, sensitivity-COST-embedding
//                             bytes, a JSON text: {"components": [{"component": ..., "out_features": ...,
//                             "in_features": ..., "groups": ...}, ...]}; written after the items of the layer, from
//                             the last to the first, a head of its own before them (its number is that of the layers)
// and, while calibrate() is not done, residual-NNNNN.bin: the residual stream before that layer (ResidualStream::save).
// Its key is CalibrationKey::text(). Reading is thread-safe.
class CalibrationArchive {
 public:
  // Throws Error for a folder that is no calibration archive, one that is not finished (saying how far it is), and
  // damaged items.
  static CalibrationArchive open(const std::filesystem::path& path);
  ~CalibrationArchive();
  CalibrationArchive(CalibrationArchive&&) noexcept;
  CalibrationArchive& operator=(CalibrationArchive&&) noexcept;

  const CalibrationKey& key() const;
  // Throws Error when the statistics are those of another model. Reads the whole model (model_identity).
  void require_model(const ModelFolder& model) const;

  std::uint64_t tokens() const;                 // calibrated on
  std::vector<std::string> components() const;  // in the order of the forward pass, the head last
  bool contains(std::string_view component) const;
  // Statistics of a linear layer's input. Layers that share an input get the same object as long as somebody holds it;
  // else it is read again. Throws Error for an unknown component or a damaged item. 4 in_features^2 bytes while held.
  std::shared_ptr<const InputStatistics> statistics(std::string_view component) const;
  // How often each token occurs in the calibration data, [vocab].
  const std::vector<double>& token_counts() const;

  // What add_sensitivities() left for a cost. The others throw Error where it was not there, and for an unknown
  // component or group.
  bool has_sensitivities(SensitivityCost cost) const;
  std::vector<std::string> sensitive_components(SensitivityCost cost) const;
  Sensitivity sensitivity(SensitivityCost cost, std::string_view component) const;
  std::size_t guided_groups(SensitivityCost cost, std::string_view component) const;  // 0 for an untied embedding
  Matrix guided_hessian(SensitivityCost cost, std::string_view component, std::size_t group) const;
  // That of all rows together: the mean over the groups, weighted by their rows.
  Matrix guided_hessian(SensitivityCost cost, std::string_view component) const;

 private:
  CalibrationArchive();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcomp
