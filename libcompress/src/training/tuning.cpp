#include "lcomp/training/tuning.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include <fmt/format.h>

#include "lcomp/compression/model_writer.h"
#include "lcomp/core/error.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/rate_coded.h"
#include "lcomp/forward/gradients.h"
#include "training/trained_vectors.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr int warmup_steps = 5;

constexpr double largest_rate = 0.002;  // where none is asked for
constexpr double rate_of_cost_root = 0.0037;

constexpr double largest_unused_share = 0.001;  // of the budget
constexpr std::size_t slack = 2;                // bytes of a matrix, for factors beside other steps

// The share of the rate.
double schedule(const TuningOptions& options, int step) {
  if (step <= warmup_steps) return static_cast<double>(step) / warmup_steps;
  const double share = static_cast<double>(step - warmup_steps) / (options.steps - warmup_steps + 1);
  return 0.5 * (1 + std::cos(std::numbers::pi * share));
}

class GradientTaker : public GradientVisitor {
 public:
  explicit GradientTaker(TrainedTensors& tensors) : tensors_(tensors) {}
  bool wants_tensor(const std::string& name) override { return tensors_.trains(name); }
  void tensor_gradient(const std::string& name, std::span<const std::size_t> /*shape*/,
                       std::span<const float> gradient) override {
    tensors_.take_gradient(name, gradient);
  }

 private:
  TrainedTensors& tensors_;
};

const CompressedFolder& compressed_tensors(const ModelFolder& model) {
  const auto* folder = dynamic_cast<const CompressedFolder*>(model.tensors.get());
  if (folder != nullptr) return *folder;
  throw Error({model.path.string(), "a model that is not compressed", "a folder that lcomp compress wrote", ""});
}

class Tuning {
 public:
  Tuning(const ModelFolder& compressed, const TuningOptions& options, const ProgressCallback& progress)
      : model_(compressed), stored_(compressed_tensors(compressed)), options_(options), progress_(progress) {
    if (options.training.empty() || options.steps < 1 || options.evaluate_every < 1) {
      throw Error({"tuning", fmt::format("{} steps on {} tasks", options.steps, options.training.size()),
                   "one of each at least", ""});
    }
    std::vector<std::string> matrices;
    for (const ModelComponent& component : model_components(compressed)) {
      const bool scalable = std::holds_alternative<RateCodedView>(stored_.weight(component.tensor));
      if (scalable && component.kind == ComponentKind::linear) matrices.push_back(component.tensor);
    }
    live_ = compressed;
    scaled_ = matrices.size();
    tensors_ = std::make_shared<TrainedTensors>(compressed.tensors, uncompressed_tensors(compressed), matrices);
    live_.tensors = tensors_;
  }

  void train() {
    int step = resume();
    if (report_.points.empty()) evaluate_point(0, 0);
    const double cost = std::max(0.0, report_.points.front().held_out_cost);
    report_.rate = options_.rate.value_or(std::min(largest_rate, rate_of_cost_root * std::sqrt(cost)));
    Progress progress(progress_, "tuning", static_cast<std::uint64_t>(options_.steps));
    if (step > 0) progress.advance(static_cast<std::uint64_t>(step));
    double sum = 0;
    int summed = 0;
    while (step < options_.steps) {
      ++step;
      sum += descend(step);
      ++summed;
      progress.advance();
      if (step % options_.evaluate_every == 0 || step == options_.steps) {
        evaluate_point(step, sum / summed);
        sum = 0;
        summed = 0;
        store(step);
      }
    }
    tensors_->set_values(best_);
    find_unit();
  }

  bool fills_budget() const {
    return !options_.budget ||
           static_cast<double>(bytes_) >= (1 - largest_unused_share) * static_cast<double>(*options_.budget);
  }

  // Writes what was trained; on codes that have the rest of the budget too, if these are better.
  TuningReport write_refilled(const fs::path& out) {
    const std::uint64_t before = stored_.payload_bytes();
    const ModelFolder other = options_.compress_again(bytes_ > before ? bytes_ - before + slack * scaled_ : 0);
    Tuning on_other(other, options_, progress_);
    on_other.best_ = best_;
    on_other.tensors_->set_values(best_);
    on_other.find_unit();
    if (report_.step > 0) {
      Decoder decoder(on_other.live_);
      report_.recompressed_cost = evaluate(decoder, options_.held_out);
    }
    report_.recompressed =
        on_other.is_within_budget() && !(report_.recompressed_cost && *report_.recompressed_cost > best_cost_);
    if (!report_.recompressed) return write(out);
    on_other.report_ = report_;
    return on_other.write(out);
  }

  TuningReport write(const fs::path& out) {
    ModelWriter writer(model_, out, options_.replace);
    for (const TensorInfo& info : stored_.tensors()) writer.add(info.name, stored_form(info.name, unit_));
    if (stored_.activations()) writer.set_activations(*stored_.activations());
    writer.add_tokenizer(model_.path);
    report_.bytes = writer.size().bytes;
    nlohmann::json description = stored_.config().at("quantization_config");
    for (const char* key : {"quant_method", "format_version", "parameters", "bytes", "bits_per_weight", "ratio"}) {
      description.erase(key);
    }
    description["repair"] = to_json(report_);
    description["repair"]["texts"] = options_.description;
    description.update(options_.record);
    writer.finish(description);
    return report_;
  }

 private:
  double descend(int step) {
    const LearningTask& task = options_.training[static_cast<std::size_t>(step - 1) % options_.training.size()];
    Decoder decoder(live_);
    GradientTaker taker(*tensors_);
    double cost = 0;
    try {
      cost = gradients(decoder, task.batch, *task.cost, taker);
    } catch (const Error& error) {
      throw Error({fmt::format("tuning, step {}: {}", step, error.parts().where), error.parts().found,
                   error.parts().expected, "a smaller rate may help"});
    }
    tensors_->step(step, report_.rate * schedule(options_, step));
    return cost;
  }

  void evaluate_point(int step, double training_cost) {
    Decoder decoder(live_);
    const double cost = evaluate(decoder, options_.held_out);
    if (!std::isfinite(cost)) {
      throw Error({fmt::format("tuning, step {}", step), fmt::format("a cost of {} on the held-out texts", cost),
                   "a finite one", "a smaller rate may help"});
    }
    report_.points.push_back({step, training_cost, cost});
    if (cost >= best_cost_) return;
    best_cost_ = cost;
    best_ = tensors_->values();
    report_.step = step;
  }

  // Where the state after a step is kept; of other arguments it is worth nothing, whatever is asked for.
  Workspace place_of(int step) const {
    const std::string arguments = fmt::format("{}\n{} {} {}", options_.description, options_.steps,
                                              options_.evaluate_every, options_.rate.value_or(0));
    return options_.work.part(fmt::format("step{}", step), arguments).begun_anew();
  }

  // Everything that the steps after this one depend on.
  void store(int step) {
    if (!options_.work) return;
    Archive archive = place_of(step).archive();
    tensors_->store(archive, "");
    for (const auto& [name, values] : best_) {
      Matrix row(1, values.size());
      std::ranges::copy(values, row.row(0).begin());
      archive.write("best " + name, row.view());
    }
    std::vector<double> numbers = {static_cast<double>(step), static_cast<double>(report_.step), best_cost_};
    for (const TuningPoint& point : report_.points) {
      numbers.insert(numbers.end(), {static_cast<double>(point.step), point.training_cost, point.held_out_cost});
    }
    archive.write("points", numbers);  // the last: the step is complete with it
    for (int before = 1; before < step; ++before) place_of(before).clear();
  }

  // The step to go on after.
  int resume() {
    if (!options_.work) return 0;
    for (int step = options_.steps; step > 0; --step) {
      const Workspace place = place_of(step);
      if (!fs::exists(place.folder())) continue;
      const Archive archive = place.archive();  // of other arguments, or damaged: begun anew
      if (!archive.contains("points")) {
        place.clear();
        continue;
      }
      tensors_->load(archive, "");
      best_ = tensors_->values();
      for (auto& [name, values] : best_) {
        const Matrix row = archive.read("best " + name);
        values.assign(row.span().begin(), row.span().end());
      }
      const std::vector<double> numbers = archive.read_doubles("points");
      report_.step = static_cast<int>(numbers[1]);
      best_cost_ = numbers[2];
      for (std::size_t k = 3; k + 2 < numbers.size(); k += 3) {
        report_.points.push_back({static_cast<int>(numbers[k]), numbers[k + 1], numbers[k + 2]});
      }
      return step;
    }
    return 0;
  }

  // The stored form of a tensor, with factors in units of `unit` / row_gain_unit.
  CompressedWeight stored_form(const std::string& name, int unit) const {
    const CompressedWeightView& stored = stored_.weight(name);
    if (const std::vector<float>* values = tensors_->vector(name)) {
      const auto* dense = std::get_if<DenseView>(&stored);
      const DenseType type = dense != nullptr ? dense->type : DenseType::f32;
      const WeightLayout shape = layout(stored);
      return encode_dense(ConstMatrixView(values->data(), rows(shape), cols(shape)), type, name);
    }
    CompressedWeight weight = copy(stored);
    const std::vector<float>* factors = tensors_->factors(name);
    if (factors == nullptr || unit > largest_row_gain) return weight;
    std::vector<std::int16_t> gains;
    for (const float factor : *factors) {
      const double units = (static_cast<double>(factor) - 1) * row_gain_unit / unit;
      gains.push_back(static_cast<std::int16_t>(
          std::clamp(static_cast<int>(std::lround(units)) * unit, -largest_row_gain, largest_row_gain)));
    }
    if (std::all_of(gains.begin(), gains.end(), [](std::int16_t g) { return g == 0; })) return weight;
    return with_row_gains(std::move(std::get<RateCodedWeight>(weight)), std::move(gains), name);
  }

  bool is_within_budget() const { return !options_.budget || bytes_ <= *options_.budget; }
  void find_unit() {
    unit_ = 1;
    bytes_ = bytes_with(unit_);
    while (!is_within_budget() && unit_ <= largest_row_gain) bytes_ = bytes_with(unit_ *= 2);
  }

  std::uint64_t bytes_with(int unit) const {
    std::uint64_t bytes = 0;
    for (const TensorInfo& info : stored_.tensors()) bytes += payload_bytes(stored_form(info.name, unit));
    return bytes;
  }

  const ModelFolder& model_;
  const CompressedFolder& stored_;
  const TuningOptions& options_;
  ProgressCallback progress_;
  ModelFolder live_;
  std::shared_ptr<TrainedTensors> tensors_;
  TrainedTensors::Values best_;
  double best_cost_ = std::numeric_limits<double>::infinity();
  TuningReport report_;
  std::size_t scaled_ = 0;   // matrices
  int unit_ = 1;             // of stored factors
  std::uint64_t bytes_ = 0;  // with them
};

}  // namespace

nlohmann::json to_json(const TuningReport& report) {
  nlohmann::json points = nlohmann::json::array();
  for (const TuningPoint& point : report.points) {
    points.push_back(
        {{"step", point.step}, {"training_cost", point.training_cost}, {"held_out_cost", point.held_out_cost}});
  }
  nlohmann::json json = {{"rate", report.rate}, {"points", std::move(points)}, {"step", report.step}};
  if (report.recompressed_cost) json["recompressed_cost"] = *report.recompressed_cost;
  return json;
}

TuningReport tune_model(const ModelFolder& compressed, const fs::path& out, const TuningOptions& options,
                        const ProgressCallback& progress) {
  Tuning tuning(compressed, options, progress);
  tuning.train();
  return tuning.fills_budget() || !options.compress_again ? tuning.write(out) : tuning.write_refilled(out);
}

std::uint64_t expected_tuning_bytes(const ModelFolder& original) {
  std::uint64_t rows = 0, linears = 0;
  for (const ModelComponent& component : model_components(original)) {
    if (component.kind != ComponentKind::linear) continue;
    rows += component.rows;
    ++linears;
  }
  return 3 * rows / 4 + 4 * linears;  // about 6 bits each
}

}  // namespace lcomp
