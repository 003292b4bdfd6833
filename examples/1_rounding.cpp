// Compresses a model by rounding its weights to 4 bits, a scale and a zero point for each group of 64 columns.
#include <lcomp/lcomp.h>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: %s MODEL OUT\n", argv[0]), 2;

  // Neither a size, since the method says its bits, nor calibration data, since rounding looks at the weights alone.
  const auto report = lcomp::compress(argv[1], "rtn:bits=4,group=64", {}, {}, argv[2]);

  for (const auto& component : report.components) {
    std::printf("%-40s %s, relative squared error %.5f\n", component.name.c_str(), component.format.c_str(),
                component.relative_error);
  }
  std::printf("%s: %.3f bits per weight, ratio %.3f\n", argv[2], report.bits_per_weight, report.ratio);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
