#pragma once

#include <vector>

#include "lcomp/training/training_log.h"
#include "report/figure.h"

namespace lcomp {

// Training loss against the step, averaged over at most 500 intervals of steps, with the loss on the validation set; in
// further panels the learning rate and the norm of the gradient. The figure's name is "loss".
Figure training_figure(const std::vector<TrainingLogRow>& rows);

}  // namespace lcomp
