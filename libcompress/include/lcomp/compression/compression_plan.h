#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/allocators/allocation_policy.h"
#include "lcomp/formats/activation_quantization.h"
#include "lcomp/models/model_components.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

// The size that a model is to have, everything counted (embedding, head, norms, scales, padding).
struct CompressionTarget {
  enum class Kind { ratio, bits_per_weight, bytes } kind = Kind::ratio;
  double value = 0;

  // The most bytes that a model of so many parameters may take:
  //   ratio R: 2 parameters / R;   bits_per_weight B: parameters B / 8;   bytes N: N;   rounded down
  std::uint64_t budget(std::uint64_t parameters) const;
};

// How each component of a model is to be compressed.
//   {"quantizer": {"method": "rtn", "bits": 4, "group_size": 64},
//    "components": {"*.down_proj": {"bits": 5}, "model.embed_tokens": {"bits": 6, "group_size": 32}, "lm_head": "f16"},
//    "target": {"ratio": 5},
//    "allocator": "fixed",
//    "activations": {"bits": 8, "granularity": "token"}}
// quantizer   a setting of quantizer_table.h, object or method string, for every component that no pattern names,
// except routers (mixtures of
//             experts), which stay as they are
// components  patterns on component names (model_components.h): * stands for any characters, ? for one. The setting is
//             laid over "quantizer", key by key, or stands alone when it has a "method". Of several patterns that match
//             a component the one with the most literal characters counts; two that are equally specific are an error,
//             and so is one that matches nothing
// target      exactly one of "ratio", "bits_per_weight", "bytes". Settings that leave their size open (OpenSize) get
//             it from the allocator, bit widths of 1 .. 8 from "fixed" or "across"; without a target, none may
// allocator   a name of allocation_policy.h; default "fixed", for rate-coded and banded components "second_order"
// activations how the inputs of linear layers are rounded (formats/activation_quantization.h); left out: they are not.
//             Fixed ranges need statistics. The weights of all these layers must then be integers with scales
struct CompressionPlan {
  nlohmann::json quantizer;
  std::map<std::string, nlohmann::json> components;
  std::optional<CompressionTarget> target;
  AllocationPolicy allocation;  // "allocator"
  std::optional<ActivationSetting> activations;

  // Throws Error naming the key's path under `where` for everything that can be checked without a model.
  // bands_are_given: the bit widths of bands come from elsewhere, so that banded components need neither "bits" nor a
  // target.
  static CompressionPlan from_json(const nlohmann::json& json, const std::string& where, bool bands_are_given = false);
};
nlohmann::json to_json(const CompressionPlan& plan);

// Whether the plan makes use of statistics of the inputs of linear layers: a method, an allocator, or fixed ranges of
// activations.
bool uses_statistics(const CompressionPlan& plan);

// What a setting can leave open for a budget to decide: one for each kind of weight whose size can be chosen.
enum class OpenSize {
  width,      // of fixed width: bits
  bands,      // banded: bits, and so the width of each band
  precision,  // rate-coded: precision and bits
};

// What the plan says for one component of a model.
struct ComponentSetting {
  nlohmann::json setting;                     // an object, as the plan says it; null: the weights are kept exactly
  std::optional<QuantizerSetting> quantizer;  // the same, typed
  std::optional<OpenSize> open;               // what it leaves to the allocator
};
// One for each component, in order. Throws Error for a pattern that matches nothing (listing example names) and for two
// that are equally specific.
std::vector<ComponentSetting> resolve_plan(const CompressionPlan& plan, const std::vector<ModelComponent>& components);

// True when `text` matches `pattern` as a whole; * any characters, also none; ? exactly one. O(pattern * text).
bool matches_pattern(std::string_view pattern, std::string_view text);

}  // namespace lcomp
