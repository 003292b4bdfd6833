#pragma once

#include <span>
#include <string>
#include <string_view>

#include "lcomp/io/config_reader.h"
#include "lcomp/models/decoder_config.h"
#include "lcomp/models/model_folder.h"

namespace lcomp {

// How one kind of checkpoint maps to the decoder: what its config.json means and where its tensors are.
struct Family {
  std::string_view model_type;  // config.json's "model_type"
  DecoderConfig (*read_config)(ConfigReader& reader);
  DecoderSlices (*find_slices)(const DecoderConfig& config);
};

// The table of families: to add one, write families/<name>.cpp with its two functions and add a line to families.cpp.
std::span<const Family> families();

// Throws Error listing the known families when there is none of this name.
const Family& find_family(const std::string& model_type, const std::string& where);

// A pair a family, in alphabetical order.
DecoderConfig read_gemma_config(ConfigReader& reader);
DecoderSlices gemma_slices(const DecoderConfig& config);
DecoderConfig read_gemma2_config(ConfigReader& reader);
DecoderSlices gemma2_slices(const DecoderConfig& config);
DecoderConfig read_gemma3_config(ConfigReader& reader);
DecoderSlices gemma3_slices(const DecoderConfig& config);
DecoderConfig read_llama_config(ConfigReader& reader);
DecoderSlices llama_slices(const DecoderConfig& config);
DecoderConfig read_mistral_config(ConfigReader& reader);
DecoderSlices mistral_slices(const DecoderConfig& config);
DecoderConfig read_mixtral_config(ConfigReader& reader);
DecoderSlices mixtral_slices(const DecoderConfig& config);
DecoderConfig read_phi_config(ConfigReader& reader);
DecoderSlices phi_slices(const DecoderConfig& config);
DecoderConfig read_phi3_config(ConfigReader& reader);
DecoderSlices phi3_slices(const DecoderConfig& config);
DecoderConfig read_qwen2_config(ConfigReader& reader);
DecoderSlices qwen2_slices(const DecoderConfig& config);
DecoderConfig read_qwen3_config(ConfigReader& reader);
DecoderSlices qwen3_slices(const DecoderConfig& config);

}  // namespace lcomp
