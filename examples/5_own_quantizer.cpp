// A quantizer of one's own beside those of the library: ternary weights, -a, 0 or a with one a for each row, after
// arXiv 1605.04711: a weight is 0 where |w| <= 0.7 mean |w|; a is the mean |w| of the others.
#include <lcomp/lcomp.h>

#include <cstdio>
#include <exception>

#include "ternary_quantizer.h"

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: %s MODEL OUT\n", argv[0]), 2;
  const auto ternary = std::make_shared<TernaryQuantizer>();

  // On one weight, next to rounding to as many bits.
  const lcomp::ModelFolder model = lcomp::open_model(argv[1]);
  const lcomp::Matrix weight = model.tensors->read("model.layers.0.mlp.down_proj.weight");
  for (const auto& result :
       {lcomp::quantize(weight.view(), {}, *ternary), lcomp::quantize(weight.view(), {}, "rtn:bits=2,group=channel")}) {
    std::printf("%-30s %.3f bits per weight, relative error %.4f\n", result.method.c_str(), result.bits_per_weight,
                result.relative_error);
  }

  // On a whole model. What is written is a compressed model like any other, for `lcomp eval` and all else.
  const auto report = lcomp::compress(argv[1], ternary, {}, argv[2]);
  std::printf("%s: %.3f bits per weight\n", argv[2], report.bits_per_weight);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
