#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lcomp/quantizers/quantizer.h"
#include "lcomp/quantizers/quantizer_options.h"

namespace lcomp {

// The one table of quantizers, and how their settings are written. A JSON setting is an object whose "method" names a
// line of the table; the other keys are the method's options (quantizer_options.h):
//   {"method": "rtn", "bits": 4, "symmetric": false, "group_size": 64, "grid": "minmax", "scales": "f16",
//    "zeros": "integer"}
//       bits        1 .. 8, or 16 for plain f16
//       symmetric   default false
//       group_size  columns that share a scale, or "channel" (a row) or "tensor"; default 64
//       grid        "minmax", "mse" (a narrower range found by search) or "hqq" (a half-quadratic fit of the zero
//                   point, for f16 zeros); default "minmax"
//       scales      "f16", "u8" (8-bit code times a 16-bit scale per row) or "f32"; default "f16"
//       zeros       "integer" (in `bits` bits) or "f16"; default "integer"
//   {"method": "gptq", "bits": 4, "symmetric": false, "group_size": 128, "grid": "minmax", "scales": "f16",
//    "zeros": "integer", "act_order": true, "static_groups": false, "damping": 0.01, "block_size": 128}
//       as rtn, but no "tensor"; needs calibration
//       act_order      columns in the order of their importance; default false
//       static_groups  grids fitted before any column is rounded; default false
//       damping        0 .. 1, a fraction of the mean diagonal of the Hessian; default 0.01
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
//       feedback: error compensation as in gptq, with the other keys as there; needs calibration
//   {"method": "lnq", "bits": 3, "alternations": 2, "cycles": 4, "act_order": true, "damping": 0.01}
//       levels of their own for each row; codes and levels by turns for the whole Hessian; needs calibration
//       alternations  turns; default 2
//       cycles        passes over all columns in each turn; default 4
//   {"method": "rate", "precision": 12.5, "offset": 0, "rows": true, "columns": true, "plain": false, "trellis": 3,
//    "rate_weight": 0.6, "row_exponent": 0.6, "column_exponent": 1, "damping": 0.01, "min_bits": 0, "max_bits": 16}
//       or "bits": 3.2, a real number, in place of the precision: bits per weight, everything counted. An allocator
//       chooses the precision where neither is given; min_bits and max_bits bound what it gives to a component, offset
//       is added to what it chooses. Needs calibration; no transforms
//   {"method": "banded", "bits": 3.2, "symmetric": false, "grid": "mse", "equal_widths": false, "plain": false,
//    "embedding_weight": 1, "shrinkage_weight": 3, "damping": 0.01, "offset": 0, "min_bits": 0, "max_bits": 16}
//       bits: a real number, the most bits per weight, everything counted; an allocator chooses it where it is not
//       given, between min_bits and max_bits. equal_widths: the same width for all bands. Needs calibration; no
//       transforms
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
// A method string says the same on one line: "gptq:bits=3,group=64,act_order", "rtn:bits=4,group=channel,sym", "f16".
// The grammar: a method, a colon and options between commas, KEY=VALUE with the keys above or KEY alone for KEY=true;
// group is short for group_size, sym and asym for symmetric=true and =false. Transforms come before, each with a plus:
// "rotate:block=64+rtn:bits=4".
std::vector<std::string> quantizer_methods();  // "dense", "rtn", "gptq", "log", "nf", "codebook", "lnq", "rate", ...

// A setting as a JSON object, whether it is one or a method string. Throws Error for a string that is no method string.
nlohmann::json setting_object(const nlohmann::json& setting, const std::string& where);

// A JSON object or method string as typed options; the size may be left open. Throws Error naming the key under
// `where`; an unknown method or key is answered with the known ones.
QuantizerSetting parse_quantizer_setting(const nlohmann::json& setting, const std::string& where);

// The method string, without a size where that is open. Parsed again it is the same setting.
std::string name(const QuantizerSetting& setting);

// Whether the setting leaves its size to an allocator: no "bits", of rate-coded weights no "precision" either.
bool is_open(const QuantizerSetting& setting);
// An open setting with so many bits per weight; one without a size ("dense") stays as it is.
QuantizerSetting with_bits(QuantizerSetting setting, int bits);
// Whether the method stores all codes of a weight at one integer bit width, so that an allocator may choose among 1 to
// 8. Not so for dense, rate-coded and banded weights.
bool has_bit_width(const QuantizerSetting& setting);
// Quantizer::uses_statistics(), of open settings too.
bool uses_statistics(const QuantizerSetting& setting);

// Takes the scaling of inputs out of a setting that folds it (InputScalingOptions::fold) and returns its options;
// nothing where there is none, and the setting stays as it is.
std::optional<InputScalingOptions> take_folded_scale(QuantizerSetting& setting);

// Throws Error naming the method for options out of range and for an open size.
std::unique_ptr<Quantizer> make_quantizer(const QuantizerSetting& setting);
// Both steps in one. Throws as parse_quantizer_setting(), and for an open size.
std::unique_ptr<Quantizer> make_quantizer(const nlohmann::json& setting, const std::string& where);

}  // namespace lcomp
