#include "runner/experiment_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <system_error>

#include "lcomp/compression/compression_plan.h"
#include "lcomp/core/error.h"
#include "lcomp/core/progress.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/models/model_components.h"
#include "lcomp/pipeline/calibration_setting.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

std::string gigabytes(double bytes) {
  return bytes >= 1e8 ? fmt::format("{:.1f} GB", bytes / 1e9) : fmt::format("{:.1f} MB", bytes / 1e6);
}

// Files that are missing, with what they are.
class MissingFiles {
 public:
  void require(const fs::path& path, const std::string& what) {
    if (!fs::exists(path)) add(path.string(), what);
  }
  void add(const std::string& path, const std::string& what) {
    if (named_.insert(path).second) text_ += fmt::format("{}{} ({})", text_.empty() ? "" : ", ", path, what);
  }
  const std::string& text() const { return text_; }

 private:
  std::set<std::string> named_;
  std::string text_;
};

void check_model(const ExperimentConfig& config, MissingFiles& missing) {
  const std::string size =
      config.checkpoint_source.empty()
          ? "the original, a model folder or GGUF file"
          : fmt::format("the original, {}, from {}", gigabytes(static_cast<double>(config.checkpoint_bytes)),
                        config.checkpoint_source);
  if (!fs::exists(config.model)) {
    missing.add(config.model.string(), size);
    return;
  }
  const fs::path index = config.model / "model.safetensors.index.json";
  if (!fs::exists(index)) return;
  const nlohmann::json json = parse_json_file(index);
  std::set<std::string> shards;
  if (json.contains("weight_map") && json.at("weight_map").is_object()) {
    for (const auto& entry : json.at("weight_map").items()) {
      if (entry.value().is_string()) shards.insert(entry.value().get<std::string>());
    }
  }
  // Shards are about equally large.
  double all = static_cast<double>(config.checkpoint_bytes);
  if (json.contains("metadata") && json.at("metadata").is_object()) all = json.at("metadata").value("total_size", all);
  const std::string part =
      all > 0 ? "about " + gigabytes(all / static_cast<double>(shards.size())) : std::string("a shard of the original");
  for (const std::string& shard : shards) missing.require(config.model / shard, part);
}

void check_data(const ExperimentConfig& config, MissingFiles& missing) {
  // As data_folder(), which refuses where there is none; here everything that is missing is said at once.
  const char* variable = std::getenv("LCOMP_DATA");
  const fs::path data = !config.data.empty() ? config.data : variable != nullptr ? variable : "";
  const auto require_in = [&](const fs::path& folder, const std::string& path, const std::string& what) {
    if (folder.empty()) {
      missing.add("DATA/" + path, what);
    } else {
      missing.require(folder / path, what);
    }
  };
  const auto require = [&](const std::string& path, const std::string& what) { require_in(data, path, what); };
  using Task = ChoiceProtocol::Task;
  for (const ExperimentTask& task : config.tasks) {
    if (task.choices) {
      const fs::path folder = task.data.empty() ? data : fs::path(task.data);
      if (task.choices->task == Task::mmlu) {
        require_in(folder, "mmlu/test",
                   "MMLU's questions, 57 CSV files, 6.4 MB, from the hendrycks/test repository's data.tar");
        if (task.choices->shots > 0)
          require_in(folder, "mmlu/dev", "MMLU's examples, 57 CSV files, 0.1 MB, same place");
      } else if (task.choices->task == Task::arc_easy) {
        require_in(folder, "arc/arc-easy.jsonl", "ARC, 0.6 MB, from the Hugging Face hub as allenai/ai2_arc");
      } else if (task.choices->task == Task::arc_challenge) {
        require_in(folder, "arc/arc-challenge.jsonl", "ARC, 0.4 MB, from the Hugging Face hub as allenai/ai2_arc");
      } else {
        missing.require(task.choices->file, "questions of the task " + task.name);
        if (!task.choices->shots_file.empty())
          missing.require(task.choices->shots_file, "examples of the task " + task.name);
      }
    } else if (task.protocol.kind == TextProtocol::Kind::wikitext2) {
      require("wikitext2/wiki.test.raw",
              "WikiText-2's raw test text, 1.3 MB, from the Hugging Face hub as Salesforce/wikitext");
    } else if (task.protocol.kind == TextProtocol::Kind::c4) {
      require("c4/c4-valid.jsonl", "C4 validation texts, 2.2 MB of 128 texts, from the Hugging Face hub as allenai/c4");
    } else {
      missing.require(task.protocol.file, "the text of the task " + task.name);
    }
  }
  for (const ExperimentMethod& method : config.methods) {
    if (method.calibration.is_null() || !method.calibration.contains("texts")) continue;
    const nlohmann::json& texts = method.calibration.at("texts");
    if (texts == "c4") {
      require("c4/c4-train.jsonl", "C4 training texts, 1.9 MB of 128 texts, from the Hugging Face hub as allenai/c4");
    } else if (texts.is_array()) {
      for (const auto& file : texts) {
        if (file.is_string()) missing.require(file.get<std::string>(), "calibration texts");
      }
    }
  }
}

double bytes_of(const CompressionPlan& plan, const ExperimentSize& size, std::uint64_t parameters) {
  if (plan.target) return static_cast<double>(plan.target->budget(parameters));
  const double bits = size.json.at("bits").get<double>() + 1;  // scales and zero points
  return static_cast<double>(parameters) * bits / 8;
}

}  // namespace

void require_files(const ExperimentConfig& config) {
  MissingFiles missing;
  check_model(config, missing);
  check_data(config, missing);
  if (missing.text().empty()) return;
  throw Error({config.name, "missing: " + missing.text(), "all files of the experiment",
               std::getenv("LCOMP_DATA") == nullptr && config.data.empty()
                   ? "DATA: give --data or LCOMP_DATA; docs/data.md"
                   : "docs/data.md says how they lie"});
}

std::uint64_t disk_need(const ExperimentConfig& config, const ModelFolder& original) {
  double largest = 0, kept = 0;
  bool archive = false, tunes = false;
  for (const ExperimentMethod& method : config.methods) {
    tunes = tunes || !method.tuning.is_null();
    for (std::size_t i = 0; i < method.sizes.size(); ++i) {
      const double bytes = bytes_of(method.plans[i], method.sizes[i], original.parameters());
      largest = std::max(largest, bytes);
      kept += bytes;
    }
    archive = archive || !method.calibration.is_null();
  }
  // A model, the finished components that it is made of, and the file that they are assembled from; before tuning, two
  // such models.
  double need = (tunes ? 5 : 3) * largest + (config.keep_models ? kept : 0);
  if (archive) {
    // A Hessian for each input: half of its float32 values, by symmetry. Linears of a block share two of four inputs.
    double hessians = 0, inputs = 0;
    for (const ModelComponent& component : model_components(original)) {
      if (component.kind != ComponentKind::linear) continue;
      const auto cols = static_cast<double>(component.cols);
      hessians += 2 * cols * cols;
      inputs += 1;
    }
    need += hessians * 4 / 7 * (inputs > 0 ? 1 : 0);
    need += 2.0 * 2048 * 128 * 2 * static_cast<double>(original.config.hidden_size);  // a block's residual stream, f16
  }
  return static_cast<std::uint64_t>(need);
}

void require_disk_space(const ExperimentConfig& config, const ModelFolder& original) {
  fs::path place = fs::absolute(config.output);
  while (!fs::exists(place) && place.has_parent_path() && place != place.parent_path()) place = place.parent_path();
  std::error_code failure;
  const fs::space_info space = fs::space(place, failure);
  if (failure) return;
  const std::uint64_t need = disk_need(config, original);
  if (need <= space.available) return;
  throw Error(ErrorKind::system,
              {config.output.string(), gigabytes(static_cast<double>(space.available)) + " free on its disk",
               gigabytes(static_cast<double>(need)) + " for models, calibration and states",
               "free some, or choose another --out"});
}

}  // namespace lcomp
