#pragma once

#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

// Reads "transforms" of a quantizer's setting (quantizer_table.h); nothing where it is absent. Throws Error naming the
// key: an unknown transform, one that is there twice, an order other than scale, rotate.
TransformOptions read_transforms(ConfigReader& setting);

}  // namespace lcomp
