#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "lcomp/formats/compressed_weight.h"
#include "lcomp/models/model_folder.h"
#include "lcomp/tokenizer/tokenizer.h"
#include "lcomp/training/parameters.h"
#include "lcomp/training/training_config.h"

namespace lcomp {

// A model whose weights are in memory and can be written: model.tensors is `parameters`.
struct TrainableModel {
  std::shared_ptr<Parameters> parameters;
  ModelFolder model;
};

// The configuration's model: a new Llama with the tokenizer's vocabulary and initialize_parameters(), or a copy of the
// folder's weights. end_token: of config.json, where the model is new. Throws Error as open_model() does.
TrainableModel make_trainable_model(const TrainingConfig& config, const Tokenizer& tokenizer,
                                    std::optional<TokenId> end_token);

// Writes config.json ("torch_dtype" set), model.safetensors and the tokenizer's files into `folder`, which may hold
// other things: a Hugging Face folder that open_model() and transformers read. tokenizer_path: a folder or file as
// load_tokenizer() takes it. Each file is replaced when it is complete. Throws Error where a weight becomes infinite in
// `dtype`, and when the disk is full.
void write_trained_model(const std::filesystem::path& folder, const ModelFolder& model, const Parameters& parameters,
                         DenseType dtype, const std::filesystem::path& tokenizer_path);

}  // namespace lcomp
