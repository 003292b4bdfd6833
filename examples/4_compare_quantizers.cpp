// Compares quantizers on one weight of a model, by its size and by the error at the layer's output.
#include <lcomp/lcomp.h>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) try {
  if (argc != 4) return std::fprintf(stderr, "usage: %s MODEL CALIBRATION_TEXT STATISTICS\n", argv[0]), 2;
  const lcomp::ModelFolder model = lcomp::open_model(argv[1]);

  // The statistics of every linear layer's inputs, kept in a folder for the next time.
  lcomp::CalibrationSetting setting;
  setting.order = lcomp::CalibrationSetting::Order::original;
  setting.texts.files = {argv[2]};
  setting.texts.sequences = 64;
  setting.texts.tokens = 128;
  const auto texts = lcomp::calibration_texts(setting, model);
  const auto statistics =
      lcomp::in_order(lcomp::make_statistics(setting, texts, model, lcomp::ComputeType::float32, {argv[3], {}}, {}));

  for (const lcomp::ModelComponent& component : lcomp::model_components(model)) {
    if (component.name != "model.layers.0.mlp.down_proj") continue;
    const lcomp::Matrix weight = model.tensors->read(component.tensor);
    const auto known = statistics->statistics(component);
    for (const char* method : {"rtn:bits=3", "rtn:bits=3,grid=mse", "nf:bits=3", "codebook:bits=3", "lnq:bits=3",
                               "gptq:bits=3,act_order", "rotate+gptq:bits=3,act_order"}) {
      const auto result = lcomp::quantize(weight.view(), *known, method);
      std::printf("%-30s %.3f bits per weight, relative error %.4f, proxy error %.4g\n", method, result.bits_per_weight,
                  result.relative_error, *result.proxy_error);
    }
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
