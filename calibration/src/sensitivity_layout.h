#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lcomp/archive/archive.h"
#include "lcomp/calibration/sensitivity.h"
#include "sensitivity_sums.h"

// Names and contents of the archive's items that a backward pass adds, as calibration_archive.h describes them.
namespace lcomp {

struct StoredSensitivity {
  std::string component;
  std::size_t out_features = 0, in_features = 0;
  std::size_t groups = 0;  // of guided Hessians
};

std::string sensitivity_options_item(SensitivityCost cost);
std::string sensitivity_layer_item(SensitivityCost cost, std::size_t layer);  // num_layers(): a head of its own
std::string embedding_item(SensitivityCost cost);                             // the last to be written

// Writes what is not there already (of a run that was killed before the layer was done). Throws Error for sums that
// float32 doesn't hold.
StoredSensitivity write_sensitivity(Archive& archive, SensitivityCost cost, const std::string& component,
                                    SensitivitySums& sums, std::size_t tokens);
Sensitivity read_sensitivity(const Archive& archive, SensitivityCost cost, const StoredSensitivity& stored);
Matrix read_guided_hessian(const Archive& archive, SensitivityCost cost, const StoredSensitivity& stored,
                           std::size_t group);

void write_sensitivities(Archive& archive, const std::string& item, const std::vector<StoredSensitivity>& stored);
std::vector<StoredSensitivity> read_sensitivities(const Archive& archive, const std::string& item,
                                                  const std::string& where);

}  // namespace lcomp
