#include "lcomp/compression/learned_allocation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "compression/error_prices.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/quantizers/quantizer_table.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t logit_rows = 256;  // at once
constexpr double least_price = 0.1;      // of the mean: a negative or tiny one is mostly noise
constexpr double longest_step = 0.7;     // octaves of steps, before the rate
constexpr double longest_exponent_step = 0.25;
constexpr double enough_coverage = 0.2;   // of the vocabulary, for an embedding to move as others do
constexpr std::size_t most_failures = 2;  // rounds one after the other that are no better

// The share of the vocabulary that the texts have.
double vocabulary_coverage(const std::vector<LearningTask>& tasks, std::size_t vocab_size) {
  std::vector<bool> seen(vocab_size, false);
  for (const LearningTask& task : tasks) {
    for (const std::int32_t id : task.batch.ids) {
      if (id >= 0 && static_cast<std::size_t>(id) < vocab_size) seen[static_cast<std::size_t>(id)] = true;
    }
  }
  return static_cast<double>(std::ranges::count(seen, true)) / static_cast<double>(vocab_size);
}

// As keys of a quantizer's setting.
nlohmann::json to_json(const LearnedSteps& steps) {
  nlohmann::json json = {{"offset", steps.offset}};
  if (steps.row_exponent) json["row_exponent"] = *steps.row_exponent;
  if (steps.column_exponent) json["column_exponent"] = *steps.column_exponent;
  return json;
}

nlohmann::json to_json(const std::map<std::string, LearnedSteps>& steps) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, of] : steps) json[name] = to_json(of);
  return json;
}

std::map<std::string, LearnedSteps> steps_from_json(const nlohmann::json& json) {
  std::map<std::string, LearnedSteps> steps;
  for (const auto& [name, entry] : json.items()) {
    LearnedSteps& of = steps[name];
    of.offset = entry.at("offset").get<double>();
    if (entry.contains("row_exponent")) of.row_exponent = entry.at("row_exponent").get<double>();
    if (entry.contains("column_exponent")) of.column_exponent = entry.at("column_exponent").get<double>();
  }
  return steps;
}

LearnedSteps half_way(const LearnedSteps& a, const LearnedSteps& b) {
  const auto middle = [](double x, double y) { return 0.5 * (x + y); };
  LearnedSteps steps;
  steps.offset = middle(a.offset, b.offset);
  if (a.row_exponent) steps.row_exponent = middle(*a.row_exponent, *b.row_exponent);
  if (a.column_exponent) steps.column_exponent = middle(*a.column_exponent, *b.column_exponent);
  return steps;
}

// What components have in common that stand at the same place in different layers: the name without numbers.
std::string place_of(const std::string& component) {
  std::string place;
  for (const char c : component) {
    if (c < '0' || c > '9') place += c;
  }
  return place;
}

// The change of an exponent at which, to second order, bits of all rows (or columns) buy the same; errors are as the
// square of steps. Components at the same place have one exponent.
struct ExponentStep {
  double imbalance = 0, curvature = 0;

  void add(const StepPrices::Spread& spread, double cost) {
    imbalance += spread.imbalance;
    curvature += 2 * std::numbers::ln2 * std::max(cost, 0.0) * spread.variance;
  }
  double change(double rate) const {
    if (!(curvature > 0)) return 0;
    return std::clamp(-rate * imbalance / curvature, -longest_exponent_step, longest_exponent_step);
  }
};

// The mean over the parts of the texts, and how certain it is.
struct MeanPrices {
  StepPrices mean;
  double cost_variance = 0;  // of the mean's cost
};

MeanPrices mean_of(const std::vector<StepPrices>& parts) {
  MeanPrices result;
  result.mean.bits = parts.front().bits;
  const double share = 1 / static_cast<double>(parts.size());
  for (const StepPrices& part : parts) {
    result.mean.cost += share * part.cost;
    for (const auto side : {&StepPrices::rows, &StepPrices::columns}) {
      (result.mean.*side).imbalance += share * (part.*side).imbalance;
      (result.mean.*side).variance = (part.*side).variance;
    }
  }
  if (parts.size() < 2) return result;
  for (const StepPrices& part : parts) result.cost_variance += std::pow(part.cost - result.mean.cost, 2);
  result.cost_variance *= share / static_cast<double>(parts.size() - 1);
  return result;
}

// Logarithms of prices at one place in all layers, relative to the whole model's.
class PlacePrices {
 public:
  void add(const std::string& component, double log2_price, double variance) {
    log2_prices_[component] = log2_price;
    noise_ += variance;
  }
  // What is to be believed: drawn to their mean by the share of noise in their variance.
  std::map<std::string, double> believed() const {
    const auto count = static_cast<double>(log2_prices_.size());
    double mean = 0, variance = 0;
    for (const auto& [name, price] : log2_prices_) mean += price / count;
    for (const auto& [name, price] : log2_prices_) variance += std::pow(price - mean, 2) / std::max(1.0, count - 1);
    const double share = variance > 0 ? std::max(0.0, 1 - noise_ / count / variance) : 0;
    std::map<std::string, double> believed;
    for (const auto& [name, price] : log2_prices_) believed[name] = mean + share * (price - mean);
    return believed;
  }

 private:
  std::map<std::string, double> log2_prices_;
  double noise_ = 0;
};

class Learning {
 public:
  Learning(const ModelFolder& model, const CompressionPlan& plan, const CompressOptions& options,
           const LearningOptions& learning, const ProgressCallback& progress)
      : model_(model), plan_(plan), options_(options), learning_(learning), progress_(progress) {
    if (!plan.target) {
      throw Error({"allocator", "\"learned\" without a target", "a size that the model is to have",
                   "give a ratio, bits per weight or bytes"});
    }
    if (!options.work) throw Error({"allocator learned", "no folder for its rounds", "", ""});
    if (learning.training.empty())
      throw Error({"allocator learned", "no texts to learn from", "one part at least", ""});
    components_ = model_components(model);
    embedding_share_ = std::min(1.0, vocabulary_coverage(learning.training, model.config.vocab_size) / enough_coverage);
    settings_ = resolve_plan(plan, components_);
    std::size_t learnable = 0;
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (settings_[i].open_width) {
        throw Error({components_[i].name, "components of fixed width under allocator \"learned\"",
                     "rate-coded or banded components", "allocator across shares out widths"});
      }
      if (!is_learnable(settings_[i])) continue;
      ++learnable;
      start_[components_[i].name] = start_of(settings_[i]);
    }
    if (learnable == 0) {
      throw Error({"allocator", "\"learned\", but no component's precision is open to it",
                   "rate-coded or banded components without \"bits\"", ""});
    }
    rounds_work_ = options.work.part(
        "learning", fmt::format("{}\n{}\n{}", to_json(plan).dump(), learning.description, learning.rate));
    rounds_work_.claim();
    load();
  }

  LearnedCompression run(const fs::path& out) {
    while (!finished()) do_round();
    LearnedCompression result;
    result.best = best();
    result.plan = plan_with(rounds_[result.best].steps);
    CompressOptions last = options_of_round(result.best);
    last.replace = options_.replace;
    last.record["learning"] = {{"texts", learning_.description}, {"rounds", to_json(rounds_)}, {"round", result.best}};
    result.report = compress_model(model_, result.plan, out, last, labelled("result"));
    result.rounds = rounds_;
    return result;
  }

 private:
  static bool is_learnable(const ComponentSetting& setting) { return setting.open_precision || setting.open_bands; }

  // The share of its step that a component moves by. Texts that have few of an embedding's rows say little of what
  // errors of the others cost on other texts, and nothing of how much finer the rows that they have should be.
  double share_of_step(const std::string& name) const {
    const auto found = std::ranges::find(components_, name, &ModelComponent::name);
    return found->kind == ComponentKind::embedding ? embedding_share_ : 1;
  }

  static LearnedSteps start_of(const ComponentSetting& setting) {
    LearnedSteps steps;
    steps.offset = setting.setting.value("offset", 0.0);
    if (!setting.open_precision) return steps;
    const RateCodedOptions& options = std::get<RateCodedOptions>(setting.quantizer->options);
    if (options.row_steps) steps.row_exponent = options.row_exponent;
    if (options.column_steps) steps.column_exponent = options.column_exponent;
    return steps;
  }

  fs::path record() const { return rounds_work_.folder() / "learning.json"; }
  Workspace work_of(std::size_t round) const { return rounds_work_.part(fmt::format("round{}", round)).begun_anew(); }

  CompressOptions options_of_round(std::size_t round) const {
    CompressOptions options = options_;
    options.replace = true;
    options.work = work_of(round);
    return options;
  }

  void load() {
    if (!fs::exists(record())) return;
    const std::string where = record().string();
    const nlohmann::json json = parse_json_file(record());
    ConfigReader reader(json, where);
    try {
      for (const nlohmann::json& entry : reader.any("rounds")) {
        LearningRound round;
        round.bytes = entry.at("bytes").get<std::uint64_t>();
        round.training_cost = entry.at("training_cost").get<double>();
        round.held_out_cost = entry.at("held_out_cost").get<double>();
        if (const nlohmann::json& spread = entry.at("price_spread"); !spread.is_null()) {
          round.price_spread = spread.get<double>();
        }
        round.steps = steps_from_json(entry.at("steps"));
        rounds_.push_back(std::move(round));
      }
      next_ = steps_from_json(reader.any("next"));
    } catch (const nlohmann::json::exception& failure) {
      throw Error({where, failure.what(), "the rounds of a learning", "delete the folder to begin anew"});
    }
  }

  void store() const {
    nlohmann::json lines = to_json(rounds_);
    for (std::size_t r = 0; r < rounds_.size(); ++r) lines[r]["steps"] = to_json(rounds_[r].steps);
    write_text_file(
        record(),
        nlohmann::json{{"rounds", std::move(lines)}, {"next", to_json(next_)}}.dump(1) + "\n");
  }

  std::size_t best() const {
    const auto least = std::min_element(rounds_.begin(), rounds_.end(),
                                        [](const auto& a, const auto& b) { return a.held_out_cost < b.held_out_cost; });
    return static_cast<std::size_t>(least - rounds_.begin());
  }

  std::size_t most_rounds() const { return static_cast<std::size_t>(std::max(1, learning_.rounds)); }
  std::size_t failures() const { return rounds_.size() - 1 - best(); }  // since the best

  bool finished() const {
    if (rounds_.empty()) return false;
    return rounds_.size() >= most_rounds() || failures() >= most_failures;
  }

  CompressionPlan plan_with(const std::map<std::string, LearnedSteps>& steps) const {
    CompressionPlan plan = plan_;
    plan.allocator = "second_order";
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (!is_learnable(settings_[i])) continue;
      nlohmann::json setting = settings_[i].setting;
      setting.update(to_json(steps.at(components_[i].name)));
      plan.components[components_[i].name] = std::move(setting);
    }
    return plan;
  }

  // The settings of what is learned, by component.
  std::map<std::string, ComponentSetting> learnable(const CompressionPlan& plan) const {
    const std::vector<ComponentSetting> settings = resolve_plan(plan, components_);
    std::map<std::string, ComponentSetting> found;
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (is_learnable(settings[i])) found.emplace(components_[i].name, settings[i]);
    }
    return found;
  }

  ProgressCallback labelled(const std::string& what) const {
    if (!progress_) return {};
    return [this, what](const ProgressEvent& event) {
      ProgressEvent named = event;
      named.label = fmt::format("{}: {}", what, event.label);
      progress_(named);
    };
  }

  void do_round() {
    const std::size_t number = rounds_.size();
    LearningRound round;
    round.steps = number == 0 ? start_ : next_;
    const std::string label = fmt::format("round {} of at most {}", number + 1, learning_.rounds);
    const fs::path candidate = rounds_work_.folder() / "candidate";
    const CompressionReport report =
        compress_model(model_, plan_with(round.steps), candidate, options_of_round(number), labelled(label));
    round.bytes = report.bytes;
    measure(open_model(candidate), report, round, label);
    rounds_.push_back(std::move(round));
    if (failures() > 0) {
      const std::map<std::string, LearnedSteps>& from = rounds_[best()].steps;
      for (auto& [name, steps] : next_) steps = half_way(from.at(name), rounds_.back().steps.at(name));
    }
    store();
    fs::remove_all(candidate);
    for (std::size_t r = 0; r < rounds_.size(); ++r) {
      if (r != best()) work_of(r).clear();
    }
  }

  void measure(const ModelFolder& compressed, const CompressionReport& report, LearningRound& round,
               const std::string& label) {
    Decoder decoder(compressed);
    ForwardOptions forward;
    forward.progress = labelled(label);
    forward.progress_label = "held-out texts";
    round.held_out_cost = evaluate(decoder, learning_.held_out, forward);
    if (!std::isfinite(round.held_out_cost)) {
      throw Error({label, fmt::format("a cost of {} on the held-out texts", round.held_out_cost), "a finite one", ""});
    }
    const bool needs_no_gradients = rounds_.size() + 1 >= most_rounds() ||
                                    (!rounds_.empty() && round.held_out_cost >= rounds_[best()].held_out_cost);
    if (needs_no_gradients) {
      forward.progress_label = "training texts";
      for (const LearningTask& part : learning_.training) round.training_cost += evaluate(decoder, part, forward);
      round.training_cost /= static_cast<double>(learning_.training.size());
      return;
    }
    GradientOptions options;
    options.progress = labelled(label);
    const std::map<std::string, ComponentSetting> settings = learnable(plan_with(round.steps));
    std::map<std::string, std::vector<StepPrices>> of_parts;
    for (std::size_t part = 0; part < learning_.training.size(); ++part) {
      const LearningTask& task = learning_.training[part];
      options.progress_label = fmt::format("gradients, part {} of {}", part + 1, learning_.training.size());
      const auto* known = std::get_if<std::shared_ptr<RandomAccessStatistics>>(&options_.statistics);
      ErrorPrices errors(model_, compressed, settings, report, known != nullptr ? known->get() : nullptr);
      round.training_cost += gradients(decoder, task.batch, *task.cost, errors, options);
      for (const auto& [name, found] : errors.prices()) of_parts[name].push_back(found);
    }
    round.training_cost /= static_cast<double>(learning_.training.size());
    std::map<std::string, MeanPrices> prices;
    for (const auto& [name, parts] : of_parts) prices.emplace(name, mean_of(parts));
    find_next(prices, round);
  }

  void find_next(const std::map<std::string, MeanPrices>& prices, LearningRound& round) {
    next_ = round.steps;
    double cost = 0, bits = 0;
    for (const auto& [name, price] : prices) {
      cost += price.mean.cost;
      bits += price.mean.bits;
    }
    if (!(cost > 0)) return;  // nothing to be had: the next round is the same, and the last
    double squares = 0;
    std::map<std::string, PlacePrices> places;
    std::map<std::string, ExponentStep> rows, columns;
    for (const auto& [name, price] : prices) {
      const double relative = std::max(price.mean.cost / price.mean.bits / (cost / bits), least_price);
      const double log2_price = std::log2(relative);
      squares += log2_price * log2_price;
      const double scale = 1 / (relative * price.mean.bits * (cost / bits) * std::numbers::ln2);  // d log2 / d cost
      const std::string place = place_of(name);
      places[place].add(name, log2_price, price.cost_variance * scale * scale);
      rows[place].add(price.mean.rows, price.mean.cost);
      columns[place].add(price.mean.columns, price.mean.cost);
    }
    round.price_spread = std::sqrt(squares / static_cast<double>(prices.size()));
    const auto move = [&](std::optional<double>& exponent, const ExponentStep& step, double rate) {
      if (exponent) exponent = std::clamp(*exponent + step.change(rate), 0.0, largest_step_exponent);
    };
    for (const auto& [place, of_place] : places) {
      for (const auto& [name, log2_price] : of_place.believed()) {
        LearnedSteps& steps = next_[name];
        const double share = share_of_step(name), rate = learning_.rate * share;
        steps.offset += rate * std::clamp(0.5 * log2_price, -longest_step, longest_step);
        if (share == 1) move(steps.row_exponent, rows.at(place), rate);
        move(steps.column_exponent, columns.at(place), rate);
      }
    }
  }

  const ModelFolder& model_;
  const CompressionPlan& plan_;
  const CompressOptions& options_;
  Workspace rounds_work_;
  const LearningOptions& learning_;
  ProgressCallback progress_;
  std::vector<ModelComponent> components_;
  double embedding_share_ = 1;
  std::vector<ComponentSetting> settings_;     // as components_
  std::map<std::string, LearnedSteps> start_;  // of the plan
  std::map<std::string, LearnedSteps> next_;   // of the round to come
  std::vector<LearningRound> rounds_;
};

}  // namespace

LearningTask divergence_task(Decoder& original, TokenBatch batch, std::size_t top) {
  const Matrix states = original.forward(batch);
  TopTokens tokens;
  Matrix logits(std::min(logit_rows, states.rows()), original.config().vocab_size);
  std::vector<TopTokens> of_rows(logits.rows());
  for (std::size_t begin = 0; begin < states.rows(); begin += logit_rows) {
    const std::size_t count = std::min(logit_rows, states.rows() - begin);
    original.logits(states.view().rows_range(begin, count), logits.view().rows_range(0, count));
    parallel_for(0, count, [&](std::size_t i) {
      of_rows[i] = {};
      of_rows[i].add(logits.view().row(i), top);
    });
    for (std::size_t i = 0; i < count; ++i) {
      tokens.ids.insert(tokens.ids.end(), of_rows[i].ids.begin(), of_rows[i].ids.end());
      tokens.log_probabilities.insert(tokens.log_probabilities.end(), of_rows[i].log_probabilities.begin(),
                                      of_rows[i].log_probabilities.end());
      tokens.offsets.push_back(tokens.ids.size());
    }
  }
  return {std::move(batch), std::make_unique<DistributionCost>(std::move(tokens))};
}

double evaluate(Decoder& model, const LearningTask& task, const ForwardOptions& options) {
  const Matrix states = model.forward(task.batch, options);
  std::vector<std::size_t> scored;
  for (std::size_t t = 0; t < task.batch.tokens(); ++t) {
    if (task.cost->needs(t)) scored.push_back(t);
  }
  Matrix some(std::min(logit_rows, scored.size()), states.cols());
  Matrix logits(some.rows(), model.config().vocab_size);
  double cost = 0;
  for (std::size_t begin = 0; begin < scored.size(); begin += logit_rows) {
    const auto tokens =
        std::span<const std::size_t>(scored).subspan(begin, std::min(logit_rows, scored.size() - begin));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::copy_n(states.row(tokens[i]).data(), states.cols(), some.row(i).data());
    }
    model.logits(some.view().rows_range(0, tokens.size()), logits.view().rows_range(0, tokens.size()));
    cost += task.cost->add_gradient(tokens, logits.view().rows_range(0, tokens.size()));
  }
  return cost;
}

nlohmann::json to_json(const std::vector<LearningRound>& rounds) {
  nlohmann::json lines = nlohmann::json::array();
  for (const LearningRound& round : rounds) {
    lines.push_back({{"bytes", round.bytes},
                     {"training_cost", round.training_cost},
                     {"held_out_cost", round.held_out_cost},
                     {"price_spread", round.price_spread ? nlohmann::json(*round.price_spread) : nlohmann::json()}});
  }
  return lines;
}

LearnedCompression compress_learned(const ModelFolder& model, const CompressionPlan& plan, const fs::path& out,
                                    const CompressOptions& options, const LearningOptions& learning,
                                    const ProgressCallback& progress) {
  return Learning(model, plan, options, learning, progress).run(out);
}

}  // namespace lcomp
