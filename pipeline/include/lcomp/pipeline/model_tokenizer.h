#pragma once

#include <memory>

#include "lcomp/models/model_folder.h"
#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {

// The tokenizer beside a model, checked against its embedding: a tokenizer with more ids than the embedding has rows
// belongs to another model, and is an Error. A few added tokens beyond the embedding are tolerated, since published
// models have them (Gemma 3's text models: one, for images); Decoder refuses them if they are used.
std::unique_ptr<Tokenizer> load_model_tokenizer(const ModelFolder& model);

}  // namespace lcomp
