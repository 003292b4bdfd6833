#include "report/metric_text.h"

#include <fmt/format.h>

namespace lcomp {

std::string perplexity_text(double perplexity) {
  return perplexity < 1e5 ? fmt::format("{:.2f}", perplexity) : fmt::format("{:.2e}", perplexity);
}

std::string divergence_text(double nats) {
  return nats == 0 || nats >= 0.001 ? fmt::format("{:.4f}", nats) : fmt::format("{:.1e}", nats);
}

std::string accuracy_text(double accuracy) { return fmt::format("{:.2f} %", 100 * accuracy); }

}  // namespace lcomp
