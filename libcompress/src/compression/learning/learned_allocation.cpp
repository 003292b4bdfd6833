#include "lcomp/compression/learned_allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include "compression/allocation/budgeted_kinds.h"
#include "compression/compression_with_factors.h"
#include "compression/learning/learning_record.h"
#include "compression/learning/marginal_costs.h"
#include "compression/learning/step_descent.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr double enough_coverage = 0.2;  // of the vocabulary, for an embedding to move as others do

// The share of the vocabulary that the training set has.
double vocabulary_coverage(const std::vector<LearningTask>& tasks, std::size_t vocab_size) {
  std::vector<bool> seen(vocab_size, false);
  for (const LearningTask& task : tasks) {
    for (const std::int32_t id : task.batch.ids) {
      if (id >= 0 && static_cast<std::size_t>(id) < vocab_size) seen[static_cast<std::size_t>(id)] = true;
    }
  }
  return static_cast<double>(std::ranges::count(seen, true)) / static_cast<double>(vocab_size);
}

class Learning {
 public:
  Learning(const ModelFolder& model, const CompressionPlan& plan, const CompressOptions& options,
           const LearningOptions& learning, const ProgressCallback& progress)
      : model_(model),
        plan_(plan),
        options_(options),
        learning_(learning),
        callback_(progress),
        components_(model_components(model)) {
    if (!plan.target) {
      throw Error({"allocator", "\"learned\" without a target", "a size that the model is to have",
                   "give a ratio, bits per weight or bytes"});
    }
    if (!options.work) throw Error({"allocator learned", "no folder for its rounds", "", ""});
    if (learning.training.empty())
      throw Error({"allocator learned", "no texts to learn from", "one part at least", ""});
    find_start();
    find_descent();
    work_ = options.work.part("learning",
                              fmt::format("{}\n{}\n{}", to_json(plan).dump(), learning.description, learning.rate));
    work_.claim();
    if (auto known = load_learning(record())) progress_ = std::move(*known);
  }

  LearnedCompression run(const fs::path& out) {
    while (!progress_.is_finished(most_rounds())) do_round();
    LearnedCompression result;
    result.best = progress_.best();
    result.plan = plan_with(progress_.rounds[result.best].steps);
    CompressOptions last = options_of_round(result.best);
    last.replace = options_.replace;
    last.record["learning"] = {
        {"texts", learning_.description}, {"rounds", to_json(progress_.rounds)}, {"round", result.best}};
    result.report = compress_model(model_, result.plan, out, last, factors_, labelled("result"));
    result.rounds = progress_.rounds;
    return result;
  }

 private:
  static std::optional<LearnedSteps> first_steps(const ComponentSetting& setting) {
    return setting.open ? budgeted_kind(*setting.open).first_steps(*setting.quantizer) : std::nullopt;
  }

  // What the plan says of the components whose size can be learned.
  void find_start() {
    settings_ = resolve_plan(plan_, components_);
    for (std::size_t i = 0; i < components_.size(); ++i) {
      const std::string& component = components_[i].name;
      const auto steps = first_steps(settings_[i]);
      if (settings_[i].open && !steps) {
        throw Error({component,
                     fmt::format("components of {} under allocator \"learned\"",
                                 budgeted_kind(*settings_[i].open).traits().name),
                     "rate-coded or banded components", "allocator across shares out widths"});
      }
      if (steps) start_.emplace(component, *steps);
    }
    if (!start_.empty()) return;
    throw Error({"allocator", "\"learned\", but no component's precision is open to it",
                 "rate-coded or banded components without \"bits\"", ""});
  }

  // A training set with few of an embedding's rows says little of what errors of the others cost elsewhere, and nothing
  // of how much finer the rows that it has should be.
  void find_descent() {
    descent_.rate = learning_.rate;
    const double share =
        std::min(1.0, vocabulary_coverage(learning_.training, model_.config.vocab_size) / enough_coverage);
    for (const ModelComponent& component : components_) {
      if (component.kind == ComponentKind::embedding) descent_.shares[component.name] = share;
    }
  }

  fs::path record() const { return work_.folder() / "learning.json"; }
  Workspace work_of(std::size_t round) const { return work_.part(fmt::format("round{}", round)).begun_anew(); }
  std::size_t most_rounds() const { return static_cast<std::size_t>(std::max(1, learning_.rounds)); }

  CompressOptions options_of_round(std::size_t round) const {
    CompressOptions options = options_;
    options.replace = true;
    options.work = work_of(round);
    return options;
  }

  // The plan of allocator second_order that makes a model with such steps.
  CompressionPlan plan_with(const std::map<std::string, LearnedSteps>& steps) const {
    CompressionPlan plan = plan_;
    plan.allocation.learned = false;
    for (std::size_t i = 0; i < components_.size(); ++i) {
      const auto found = steps.find(components_[i].name);
      if (!settings_[i].open || found == steps.end()) continue;
      nlohmann::json setting = settings_[i].setting;
      setting.update(to_json(found->second));
      plan.components[components_[i].name] = std::move(setting);
    }
    return plan;
  }

  // The settings of what is learned, by component.
  std::map<std::string, ComponentSetting> learned_settings(const CompressionPlan& plan) const {
    const std::vector<ComponentSetting> settings = resolve_plan(plan, components_);
    std::map<std::string, ComponentSetting> found;
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (start_.contains(components_[i].name)) found.emplace(components_[i].name, settings[i]);
    }
    return found;
  }

  ProgressCallback labelled(const std::string& what) const {
    if (!callback_) return {};
    return [this, what](const ProgressEvent& event) {
      ProgressEvent named = event;
      named.label = fmt::format("{}: {}", what, event.label);
      callback_(named);
    };
  }

  void do_round() {
    const std::size_t number = progress_.rounds.size();
    LearningRound round;
    round.steps = number == 0 ? start_ : progress_.next;
    const std::string label = fmt::format("round {} of at most {}", number + 1, learning_.rounds);
    const fs::path candidate = work_.folder() / "candidate";
    const CompressionReport report =
        compress_model(model_, plan_with(round.steps), candidate, options_of_round(number), factors_, labelled(label));
    round.bytes = report.bytes;
    measure(open_model(candidate), report, round, label);
    progress_.rounds.push_back(std::move(round));
    if (progress_.failures() > 0) {
      const std::map<std::string, LearnedSteps>& from = progress_.rounds[progress_.best()].steps;
      for (auto& [name, steps] : progress_.next) {
        steps = half_way(from.at(name), progress_.rounds.back().steps.at(name));
      }
    }
    store_learning(record(), progress_);
    fs::remove_all(candidate);
    for (std::size_t r = 0; r < progress_.rounds.size(); ++r) {
      if (r != progress_.best()) work_of(r).clear();
    }
  }

  // The costs of a round, and where another can follow, its steps.
  void measure(const ModelFolder& compressed, const CompressionReport& report, LearningRound& round,
               const std::string& label) {
    Decoder decoder(compressed);
    ForwardOptions forward;
    forward.progress = labelled(label);
    forward.progress_label = "held-out texts";
    round.validation_cost = evaluate(decoder, learning_.validation, forward);
    if (!std::isfinite(round.validation_cost)) {
      throw Error(
          {label, fmt::format("a cost of {} on the held-out texts", round.validation_cost), "a finite one", ""});
    }
    const std::vector<LearningRound>& before = progress_.rounds;
    const bool needs_no_gradients =
        before.size() + 1 >= most_rounds() ||
        (!before.empty() && round.validation_cost >= before[progress_.best()].validation_cost);
    const auto parts = static_cast<double>(learning_.training.size());
    if (needs_no_gradients) {
      forward.progress_label = "training texts";
      for (const LearningTask& part : learning_.training) round.training_cost += evaluate(decoder, part, forward);
      round.training_cost /= parts;
      return;
    }
    GradientOptions options;
    options.progress = labelled(label);
    const std::map<std::string, ComponentSetting> settings = learned_settings(plan_with(round.steps));
    const auto* known = std::get_if<std::shared_ptr<RandomAccessStatistics>>(&options_.statistics);
    RandomAccessStatistics* const statistics = known != nullptr ? known->get() : nullptr;
    MeasuredSteps measured;
    for (std::size_t part = 0; part < learning_.training.size(); ++part) {
      const LearningTask& task = learning_.training[part];
      options.progress_label = fmt::format("gradients, part {} of {}", part + 1, learning_.training.size());
      MarginalCosts costs(model_, compressed, settings, report, statistics, factors_);
      round.training_cost += gradients(decoder, task.batch, *task.cost, costs, options);
      for (const auto& [name, found] : costs.found()) measured[name].push_back(found);
    }
    round.training_cost /= parts;
    DescentStep step = descend(round.steps, measured, descent_);
    round.multiplier_spread = step.spread;
    progress_.next = std::move(step.steps);
  }

  const ModelFolder& model_;
  const CompressionPlan& plan_;
  const CompressOptions& options_;
  const LearningOptions& learning_;
  ProgressCallback callback_;
  Workspace work_;
  std::vector<ModelComponent> components_;
  std::vector<ComponentSetting> settings_;     // as components_
  std::map<std::string, LearnedSteps> start_;  // of the plan
  DescentOptions descent_;
  LearningProgress progress_;
  KeptFactors factors_;  // of all rounds
};

}  // namespace

LearnedCompression compress_learned(const ModelFolder& model, const CompressionPlan& plan, const fs::path& out,
                                    const CompressOptions& options, const LearningOptions& learning,
                                    const ProgressCallback& progress) {
  return Learning(model, plan, options, learning, progress).run(out);
}

}  // namespace lcomp
