#pragma once

#include <vector>

#include "report/figure.h"
#include "lcomp/training/training_log.h"

namespace lcomp {

// The loss against the step, averaged over at most 500 stretches of steps, with that on held-out texts; below it the
// learning rate and the gradient's norm. Name: loss.
Figure training_figure(const std::vector<TrainingLogRow>& rows);

}  // namespace lcomp
