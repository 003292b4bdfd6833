#pragma once

#include <string>

namespace lcomp {

// Measured values as tables and figures print them.
std::string perplexity_text(double perplexity);  // 23.55; with an exponent from 100,000 on (broken models)
std::string divergence_text(double nats);        // 0.1234; two digits below 0.001: 4.9e-04
std::string accuracy_text(double accuracy);      // 0.5 becomes 50.00 %

}  // namespace lcomp
