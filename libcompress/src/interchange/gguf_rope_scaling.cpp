#include "interchange/gguf_rope_scaling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <utility>
#include <vector>

#include "interchange/gguf_number.h"
#include "lcomp/core/eigen_view.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr double kTolerance = 1e-4;

struct Llama3Scaling {
  double factor = 1;
  double low = 1;
  double high = 4;
  double original = 8192;
};

double divisor(const Llama3Scaling& scaling, double wavelength) {
  const double s = (scaling.original / wavelength - scaling.low) / (scaling.high - scaling.low);
  return 1 / ((1 - std::clamp(s, 0.0, 1.0)) / scaling.factor + std::clamp(s, 0.0, 1.0));
}

bool agrees(const Llama3Scaling& scaling, const std::vector<double>& wavelengths, std::span<const float> divisors) {
  for (std::size_t i = 0; i < wavelengths.size(); ++i) {
    const double stored = static_cast<double>(divisors[i]);
    if (std::abs(divisor(scaling, wavelengths[i]) - stored) > kTolerance * stored) return false;
  }
  return true;
}

// Points (x, s) with x = 1 / wavelength.
struct BlendedPoints {
  std::vector<double> x, s;
};

// The divisors strictly between 1 and the factor.
BlendedPoints blended(double factor, const std::vector<double>& wavelengths, std::span<const float> divisors) {
  BlendedPoints points;
  for (std::size_t i = 0; i < wavelengths.size(); ++i) {
    const double stored = static_cast<double>(divisors[i]);
    if (stored <= 1 + kTolerance || stored >= factor * (1 - kTolerance)) continue;
    points.x.push_back(1 / wavelengths[i]);
    points.s.push_back((1 / stored - 1 / factor) / (1 - 1 / factor));
  }
  return points;
}

// The line s = a x - b with a = original / (high - 1), b = 1 / (high - 1) through two or more points (least squares).
std::optional<Llama3Scaling> fit_line(double factor, const BlendedPoints& points) {
  const auto x = as_eigen(points.x), s = as_eigen(points.s);
  const Eigen::VectorXd distance = x.array() - x.mean();
  const double spread = distance.squaredNorm();
  if (!(spread > 0)) return std::nullopt;
  const double a = distance.dot(s) / spread;
  const double b = a * x.mean() - s.mean();
  if (!(a > 0) || !(b > 0)) return std::nullopt;
  return Llama3Scaling{factor, 1, shortest_decimal(1 + 1 / b, 4), std::round(a / b)};
}

// Some scaling with these divisors; fewer than two points between leave several, which are the same for this model.
std::optional<Llama3Scaling> fit(double factor, const std::vector<double>& wavelengths,
                                 std::span<const float> divisors) {
  const BlendedPoints points = blended(factor, wavelengths, divisors);
  if (points.x.size() >= 2) return fit_line(factor, points);
  double shortest_scaled = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < wavelengths.size(); ++i) {
    if (static_cast<double>(divisors[i]) > 1 + kTolerance) shortest_scaled = std::min(shortest_scaled, wavelengths[i]);
  }
  for (const double high : {4.0, 2.0, 8.0, 1.5, 16.0, 1.1}) {
    const double original =
        points.x.empty() ? std::floor(shortest_scaled) : std::round((1 + points.s[0] * (high - 1)) / points.x[0]);
    const Llama3Scaling scaling{factor, 1, high, original};
    if (original >= 1 && agrees(scaling, wavelengths, divisors)) return scaling;
  }
  return std::nullopt;
}

nlohmann::json llama3_scaling(const GgufFile& file, const std::string& prefix, double theta, std::size_t rotary_dim) {
  const Matrix stored = file.read("rope_freqs.weight");
  const auto refuse = [&](const std::string& found) {
    throw Error({file.where(), "rope_freqs.weight " + found, "the frequency divisors of Llama 3's rope scaling", ""});
  };
  if (stored.size() != rotary_dim / 2)
    refuse(fmt::format("has {} values for {} rotary dimensions", stored.size(), rotary_dim));
  if (!std::all_of(stored.span().begin(), stored.span().end(), [](float d) { return std::isfinite(d) && d >= 1; })) {
    refuse("has values below 1");
  }
  std::vector<double> wavelengths;
  for (std::size_t i = 0; i < rotary_dim / 2; ++i) {
    wavelengths.push_back(2 * std::numbers::pi *
                          std::pow(theta, 2 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
  }
  const double factor = shortest_decimal(*std::max_element(stored.span().begin(), stored.span().end()));
  if (factor <= 1 + kTolerance) return nullptr;
  Llama3Scaling published;
  published.factor = factor;
  const std::string original_key = prefix + "rope.scaling.original_context_length";
  if (file.find_metadata(original_key) != nullptr) published.original = file.float_value(original_key);
  std::optional<Llama3Scaling> scaling = published;
  if (!agrees(published, wavelengths, stored.span())) scaling = fit(factor, wavelengths, stored.span());
  if (!scaling || !agrees(*scaling, wavelengths, stored.span())) refuse("has another form");
  return {{"rope_type", "llama3"},
          {"factor", scaling->factor},
          {"low_freq_factor", scaling->low},
          {"high_freq_factor", scaling->high},
          {"original_max_position_embeddings", static_cast<std::uint64_t>(scaling->original)}};
}

// Phi-3's: a divisor for each rotary frequency, one list for short texts and one for long.
nlohmann::json longrope_scaling(const GgufFile& file, const std::string& prefix, std::size_t rotary_dim) {
  nlohmann::json scaling = {{"type", "longrope"}};
  for (const auto& [key, name] :
       {std::pair{"short_factor", "rope_factors_short.weight"}, std::pair{"long_factor", "rope_factors_long.weight"}}) {
    if (file.find(name) == nullptr) {
      throw Error({file.where(), fmt::format("no tensor \"{}\"", name),
                   "the factors of longrope for short and long texts", ""});
    }
    const Matrix stored = file.read(name);
    if (stored.size() != rotary_dim / 2) {
      throw Error({file.where(), fmt::format("\"{}\" has {} values", name, stored.size()),
                   fmt::format("{}, half of the rotary dimensions", rotary_dim / 2), ""});
    }
    scaling[key] = nlohmann::json::array();
    for (const float factor : stored.span()) scaling[key].push_back(shortest_decimal(static_cast<double>(factor)));
  }
  // What cos and sin are multiplied by. Left out where it is what Hugging Face computes from the context lengths.
  const auto number = [&](const char* key) {
    const std::string full = prefix + key;
    return file.find_metadata(full) != nullptr ? file.float_value(full) : 0;
  };
  const double written = number("rope.scaling.attn_factor");
  const double attention_factor = written == 0 ? 1 : written;
  const double original = number("rope.scaling.original_context_length");
  const double ratio = original > 1 ? number("context_length") / original : 1;
  const double computed = ratio <= 1 ? 1 : std::sqrt(1 + std::log(ratio) / std::log(original));
  if (std::abs(attention_factor - computed) > 1e-6 * computed) {
    scaling["attention_factor"] = shortest_decimal(attention_factor);
  }
  return scaling;
}

}  // namespace

nlohmann::json gguf_rope_scaling(const GgufFile& file, const std::string& prefix, double theta,
                                 std::size_t rotary_dim) {
  const std::string type_key = prefix + "rope.scaling.type";
  const std::string type = file.find_metadata(type_key) != nullptr ? file.string_value(type_key) : "none";
  const bool has_divisors = file.find("rope_freqs.weight") != nullptr;
  double factor = 1;
  for (const std::string& key : {prefix + "rope.scaling.factor", prefix + "rope.scale_linear"}) {
    if (file.find_metadata(key) != nullptr) factor = shortest_decimal(file.float_value(key));
  }
  if (file.find("rope_factors_long.weight") != nullptr || file.find("rope_factors_short.weight") != nullptr) {
    if (type == "none" || type == "longrope") return longrope_scaling(file, prefix, rotary_dim);
  }
  if (type != "none" && type != "linear" && !(type == "llama3" && has_divisors)) {
    throw Error({file.where(), fmt::format("{} is \"{}\"", type_key, type),
                 "none, linear, Llama 3's rope_freqs.weight or longrope's rope_factors_long.weight", ""});
  }
  if (has_divisors) return llama3_scaling(file, prefix, theta, rotary_dim);
  // Files older than rope.scaling.type have a factor alone, which meant linear.
  if (factor == 1 || (type == "none" && file.find_metadata(type_key) != nullptr)) return nullptr;
  if (!(factor > 0)) throw Error({file.where(), fmt::format("a rope scaling factor of {}", factor), "more than 0", ""});
  return {{"rope_type", "linear"}, {"type", "linear"}, {"factor", factor}};
}

}  // namespace lcomp
