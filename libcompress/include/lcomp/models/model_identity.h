#pragma once

#include <string>

#include "lcomp/models/model_folder.h"

namespace lcomp {

// Which model this is: a hash of its configuration, of how its activations are rounded, and of the values of every
// tensor that its decoder uses, as float32. The same for a model in one file or in shards, under any path; another one
// as soon as a weight differs. Results of unfinished work, statistics, answers and reference
// values belong to a model by this. (What a tokenizer makes of a text belongs to the keys of the tokens.)
// Reads the whole model, on all threads: about a second for 1.5 GB in memory and core. Throws Error for tensors that
// can't be read.
std::string model_identity(const ModelFolder& model);

}  // namespace lcomp
