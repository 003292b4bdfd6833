// Compresses a model to a fifth of its 16-bit size; where the bits go is learned by gradient descent on the divergence
// from the original. What is printed on the way is up to the program.
#include <lcomp/lcomp.h>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) try {
  if (argc != 4) return std::fprintf(stderr, "usage: %s MODEL CALIBRATION_TEXT OUT\n", argv[0]), 2;
  const auto progress = [](const lcomp::ProgressEvent& event) {
    if (event.done == event.total) std::printf("%s: done in %.1f s\n", event.label.c_str(), event.elapsed_seconds);
  };
  const lcomp::CalibrationData calibration = {.files = {argv[2]}, .sequences = 64, .tokens = 128};
  const auto report = lcomp::compress(argv[1], "learned", {.ratio = 5}, calibration, argv[3], progress);
  std::printf("%s: %llu bytes, ratio %.3f\n", argv[3], static_cast<unsigned long long>(report.bytes), report.ratio);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
