// Compresses a model to 3 bits with and without GPTQ's error compensation, and compares the results on a text that
// neither has seen.
#include <lcomp/lcomp.h>

#include <cstdio>
#include <exception>
#include <string>

int main(int argc, char** argv) try {
  if (argc != 5) return std::fprintf(stderr, "usage: %s MODEL CALIBRATION_TEXT TEST_TEXT OUT\n", argv[0]), 2;
  const std::string rounded = std::string(argv[4]) + "/rounded", gptq = std::string(argv[4]) + "/gptq";
  std::filesystem::create_directories(argv[4]);

  // Each block is calibrated on the outputs of the compressed blocks before it.
  const lcomp::CalibrationData calibration = {.files = {argv[2]}, .sequences = 64, .tokens = 128};
  lcomp::compress(argv[1], "rtn:bits=3,group=64", {}, {}, rounded);
  lcomp::compress(argv[1], "gptq:bits=3,group=64,act_order", {}, calibration, gptq);

  lcomp::TextProtocol protocol;
  protocol.kind = lcomp::TextProtocol::Kind::file;
  protocol.file = argv[3];
  protocol.window = 128;
  for (const auto& result : lcomp::compare(argv[1], {rounded, gptq}, protocol)) {
    std::printf("%-8s %llu bytes, KL divergence %.4f, perplexity %.4f\n", result.model.filename().c_str(),
                static_cast<unsigned long long>(result.bytes), result.scores.divergence->kl.mean,
                result.scores.perplexity.perplexity);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
