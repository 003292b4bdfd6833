#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

// A quantizer's setting on one line, for command lines and tables:
//   [TRANSFORM[:OPTIONS]+ ...] METHOD[:OPTIONS]      OPTIONS: KEY=VALUE or FLAG, separated by commas
//   gptq:bits=3,group=64,act_order      rotate:block=64+rtn:bits=4,sym      f16
// The keys are those of the JSON setting (quantizer_table.h). Values are integers, real numbers, true, false, or else
// text; FLAG alone is FLAG=true. Shorter words: group for group_size, sym and asym for symmetric=true and =false, and
// the methods f16, bf16 and f32 for dense:type=f16 and so on.

// The JSON setting that a method string stands for. Throws Error naming `where` for a text that is none; whether the
// method and its keys exist is for make_quantizer() to say.
nlohmann::json parse_method_string(std::string_view text, const std::string& where);

// Writes method strings, in the order of the calls.
class MethodString {
 public:
  explicit MethodString(std::string_view method) : text_(method) {}

  MethodString& add(std::string_view key, std::string_view value);
  MethodString& add(std::string_view key, std::int64_t value) { return add(key, std::to_string(value)); }
  MethodString& add(std::string_view key, double value);  // as many digits as needed
  MethodString& flag(std::string_view name, bool set = true);
  // What uniform grids share: "bits=4,group=64,asym", then "grid=mse", "scales=u8" and "zeros=f16" where they aren't
  // the defaults.
  MethodString& add_uniform(const UniformOptions& options);
  // "bits=4"; nothing where they are open.
  MethodString& add_bits(std::optional<int> bits);
  // "act_order", "static_groups", "damping=0.05", "block_size=64" where they aren't the defaults.
  MethodString& add_compensation(const ErrorCompensation& options);
  MethodString& add_damping(const Damping& options);
  // "feedback", then the same.
  MethodString& add_feedback(const FeedbackSetting& feedback);

  const std::string& text() const { return text_; }

 private:
  MethodString& append(const std::string& option);

  std::string text_;
  bool has_options_ = false;
};

}  // namespace lcomp
