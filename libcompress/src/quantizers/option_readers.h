#pragma once

#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

// Read the options of one method from a setting (quantizer_table.h has the keys), all but "method" and "transforms".
// Throw Error naming the key; keys of other methods are left for ConfigReader::finish() to refuse.
QuantizerOptions read_dense(ConfigReader& reader);
QuantizerOptions read_round_to_nearest(ConfigReader& reader);
QuantizerOptions read_gptq(ConfigReader& reader);
QuantizerOptions read_logarithmic(ConfigReader& reader);
QuantizerOptions read_normal_float(ConfigReader& reader);
QuantizerOptions read_codebook(ConfigReader& reader);
QuantizerOptions read_lnq(ConfigReader& reader);
QuantizerOptions read_rate_coded(ConfigReader& reader);
QuantizerOptions read_banded(ConfigReader& reader);

}  // namespace lcomp
