#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/quantizers/banded/banded_quantizer.h"
#include "lcomp/quantizers/transforms/input_scaling.h"
#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/rate/rate_coded_quantizer.h"

namespace lcomp {

// The one table of quantizers. A setting is a JSON object whose "method" names a line of it; the other keys are the
// method's options:
//   {"method": "rtn", "bits": 4, "symmetric": false, "group_size": 64, "grid": "minmax", "scales": "f16",
//    "zeros": "integer"}
//       bits        1 .. 8, or 16 for plain f16
//       symmetric   default false
//       group_size  columns that share a scale, or "channel" (a row) or "tensor"; default 64
//       grid        "minmax", "mse" (a narrower range found by search) or "hqq" (a half-quadratic fit of the zero
//       point,
//                   for f16 zeros); default "minmax"
//       scales      "f16", "u8" (8-bit code times a 16-bit scale per row) or "f32"; default "f16"
//       zeros       "integer" (in `bits` bits) or "f16"; default "integer"
//   {"method": "gptq", "bits": 4, "symmetric": false, "group_size": 128, "grid": "minmax", "scales": "f16",
//    "zeros": "integer", "act_order": true, "static_groups": false, "damping": 0.01, "block_size": 128}
//       as rtn, but no "tensor"; needs calibration
//       act_order      columns in the order of their importance; default false
//       static_groups  grids fitted before any column is rounded; default false
//       damping        0 .. 1, a share of the mean diagonal of the Hessian; default 0.01
//       block_size     columns between updates of all later ones; default 128
//   {"method": "log", "bits": 4, "group_size": 64, "base": 2, "zero": false, "scales": "f16", FEEDBACK}
//       signed powers of a base; bits, group_size and scales as rtn, but no "tensor"
//       base  more than 1 and at most 4, "sqrt2", or "fit": the best for each weight; default 2
//       zero  a level of 0; default false
//   {"method": "nf", "bits": 4, "group_size": 64, "grid": "absmax", "scales": "f16", FEEDBACK}
//       NF-k, quantiles of the normal distribution; grid "absmax" or "mse" (a scale found by search)
//   {"method": "codebook", "bits": 3, "group_size": "channel", "fit": "dynamic", FEEDBACK}
//       levels of their own for each row or group: k-means
//       fit  "dynamic" (nearly exact), "exact" or "lloyd" (k-means++, Lloyd's iteration); default "dynamic"
//   FEEDBACK: "feedback": false, "act_order": false, "static_groups": false, "damping": 0.01, "block_size": 128
//       feedback: round as gptq does, with the others as there; needs calibration
//   {"method": "lnq", "bits": 3, "alternations": 2, "cycles": 4, "act_order": true, "damping": 0.01}
//       levels of their own for each row; codes and levels by turns for the whole Hessian; needs calibration
//       alternations  turns; default 2
//       cycles        passes over all columns in each turn; default 4
//   {"method": "rate", "precision": 12.5, "offset": 0, "rows": true, "columns": true, "plain": false, "trellis": 3,
//    "rate_weight": 0.6, "row_exponent": 0.6, "column_exponent": 1, "damping": 0.01, "min_bits": 0, "max_bits": 16}
//       or "bits": 3.2, a real number, in place of the precision: what a weight takes, all in. An allocator chooses the
//       precision where neither is given; min_bits and max_bits bound what it gives to a component, offset is added to
//       what it chooses. Needs calibration; no transforms
//   {"method": "banded", "bits": 3.2, "symmetric": false, "grid": "mse", "equal_widths": false, "plain": false,
//    "embedding_weight": 1, "shrinkage_weight": 3, "damping": 0.01, "offset": 0, "min_bits": 0, "max_bits": 16}
//       bits: a real number, what a weight takes at most, all in; an allocator chooses it where it is not given,
//       between min_bits and max_bits. equal_widths: the same width for all bands. Needs calibration; no transforms
//   {"method": "dense", "type": "f16"}          "f16", "bf16" or "f32"
// Any of them may have "transforms", done before and undone by decoding, in this order (transformed_quantizer.h); bits
// 16 is plain f16, without them:
//   {"transforms": [{"transform": "scale", "fold": false, "alpha": 0.5, "steps": 20},
//                   {"transform": "rotate", "block": 64, "outputs": true, "output_block": 64, "paley": false,
//                    "seed": 0}], "method": ...}
//       fold          into what makes the inputs, where compress_model() can; default false
//       alpha         0 .. 1; default: searched for. Needs calibration
//       steps         of that search; default 20
//       block         the most inputs that are mixed; default as many as possible
//       outputs       mixes outputs too; default false
//       output_block  the most outputs that are mixed; default 64
//       paley         mixes 3, 5, 7 or 9 times as many where that is possible; default false
//       seed          of the random signs; default 0
// or a method string, which says the same on one line: "gptq:bits=3,group=64,act_order",
// "rtn:bits=4,group=channel,sym", "f16"; Quantizer::name() is one. The grammar: a method, a colon and options between
// commas, KEY=VALUE with the keys above or KEY alone for KEY=true; group is short for group_size, sym and asym for
// symmetric=true and =false. Transforms come before, each with a plus: "rotate:block=64+rtn:bits=4".
std::vector<std::string> quantizer_methods();  // "dense", "rtn", "gptq", "log", "nf", "codebook", "lnq", "rate", ...

// The setting as an object, whichever of the two it is. Throws Error for a string that is no method string.
nlohmann::json setting_object(const nlohmann::json& setting, const std::string& where);

// Throws Error naming the key under `where`; an unknown method or key is answered with the known ones.
std::unique_ptr<Quantizer> make_quantizer(const nlohmann::json& setting, const std::string& where);

// True when the method of this setting stores weights at a chosen width, so that an allocator may set "bits".
bool has_bits(const nlohmann::json& setting, const std::string& where);

// Takes the transform `scale` with "fold" out of a setting and returns its options; nothing where there is none, and
// the setting stays as it is. Throws as make_quantizer() for transforms that are wrong.
std::optional<InputScalingOptions> take_folded_scale(nlohmann::json& setting, const std::string& where);

// True when the method is rate-coded, so that an allocator may choose its precision.
bool has_precision(const nlohmann::json& setting, const std::string& where);
// The options of such a setting, which may leave both precision and bits open. Throws as make_quantizer().
RateCodedOptions open_rate_options(const nlohmann::json& setting, const std::string& where);

// True when the method is banded, so that an allocator may choose the widths of its bands.
bool has_bands(const nlohmann::json& setting, const std::string& where);
// The options of such a setting, which may leave bits open. Throws as make_quantizer().
BandedOptions open_banded_options(const nlohmann::json& setting, const std::string& where);

}  // namespace lcomp
