#include "lcomp/compression/learned_allocation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/models/gradients.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t logit_rows = 256;  // at once
constexpr double least_price = 0.1;      // of the mean: a negative or tiny one is mostly noise
constexpr double longest_step = 0.7;     // octaves of steps, before the rate

bool is_learnable(const ComponentSetting& setting) { return setting.open_precision || setting.open_bands; }

// D_c of every component: how much the cost falls, by the gradient, when all errors of a component shrink.
class ErrorGradients : public GradientVisitor {
 public:
  ErrorGradients(const ModelFolder& original, const ModelFolder& compressed)
      : original_(original), compressed_(compressed) {
    for (const ModelComponent& component : model_components(original)) names_.emplace(component.tensor, component.name);
  }
  bool wants_tensor(const std::string& name) override { return names_.contains(name); }
  void tensor_gradient(const std::string& name, std::span<const std::size_t> /*shape*/,
                       std::span<const float> gradient) override {
    const Matrix weight = original_.tensors->read(name);
    const Matrix decoded = compressed_.tensors->read(name);
    std::vector<double> of_rows(weight.rows(), 0.0);
    parallel_for(
        0, weight.rows(),
        [&](std::size_t i) {
          const float* slope = gradient.data() + i * weight.cols();
          for (std::size_t j = 0; j < weight.cols(); ++j) {
            of_rows[i] += static_cast<double>(slope[j]) *
                          (static_cast<double>(decoded(i, j)) - static_cast<double>(weight(i, j)));
          }
        },
        64);
    double sum = 0;
    for (const double row : of_rows) sum += row;
    of_components_[names_.at(name)] = sum;
  }
  double of(const std::string& component) const { return of_components_.at(component); }

 private:
  const ModelFolder& original_;
  const ModelFolder& compressed_;
  std::map<std::string, std::string> names_;  // of components, by tensor
  std::map<std::string, double> of_components_;
};

// What a component's price is made of.
struct Price {
  double cost = 0;  // D_c
  double bits = 0;  // R_c
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
    if (options.work.empty()) throw Error({"allocator learned", "no folder for its rounds", "", ""});
    components_ = model_components(model);
    settings_ = resolve_plan(plan, components_);
    std::size_t learnable = 0;
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (settings_[i].open_width) {
        throw Error({components_[i].name, "components of fixed width under allocator \"learned\"",
                     "rate-coded or banded components", "allocator across shares out widths"});
      }
      if (!is_learnable(settings_[i])) continue;
      ++learnable;
      start_[components_[i].name] = settings_[i].setting.value("offset", 0.0);
    }
    if (learnable == 0) {
      throw Error({"allocator", "\"learned\", but no component's precision is open",
                   "rate-coded or banded components without \"bits\"", ""});
    }
    fs::create_directories(options.work);
    load();
  }

  LearnedCompression run(const fs::path& out) {
    while (!finished()) do_round();
    LearnedCompression result;
    result.best = best();
    result.plan = plan_with(rounds_[result.best].offsets);
    CompressOptions last = options_of_round(result.best);
    last.replace = options_.replace;
    last.record["learning"] = {{"texts", learning_.description}, {"rounds", to_json(rounds_)}, {"round", result.best}};
    result.report = compress_model(model_, result.plan, out, last, labelled("result"));
    result.rounds = rounds_;
    return result;
  }

 private:
  fs::path record() const { return options_.work / "learning.json"; }
  fs::path folder_of(std::size_t round) const { return options_.work / fmt::format("round{}", round); }

  CompressOptions options_of_round(std::size_t round) const {
    CompressOptions options = options_;
    options.replace = true;
    options.work = folder_of(round);
    return options;
  }

  std::string key() const {
    return fmt::format("{}\n{}\n{}\n{}", options_.work_key, to_json(plan_).dump(), learning_.description,
                       learning_.rate);
  }

  void load() {
    if (!fs::exists(record())) return;
    const std::string where = record().string();
    const nlohmann::json json = parse_json_file(record());
    ConfigReader reader(json, where);
    if (reader.string("key") != key()) {
      if (!options_.replace) {
        throw Error({options_.work.string(), "the rounds of another learning", "those of the same arguments",
                     "delete the folder, or use --replace"});
      }
      fs::remove_all(options_.work);
      fs::create_directories(options_.work);
      return;
    }
    try {
      for (const nlohmann::json& entry : reader.any("rounds")) {
        LearningRound round;
        round.bytes = entry.at("bytes").get<std::uint64_t>();
        round.training_cost = entry.at("training_cost").get<double>();
        round.held_out_cost = entry.at("held_out_cost").get<double>();
        if (const nlohmann::json& spread = entry.at("price_spread"); !spread.is_null()) {
          round.price_spread = spread.get<double>();
        }
        round.offsets = entry.at("offsets").get<std::map<std::string, double>>();
        rounds_.push_back(std::move(round));
      }
      next_ = reader.any("next").get<std::map<std::string, double>>();
    } catch (const nlohmann::json::exception& failure) {
      throw Error({where, failure.what(), "the rounds of a learning", "delete the folder to begin anew"});
    }
  }

  void store() const {
    nlohmann::json lines = to_json(rounds_);
    for (std::size_t r = 0; r < rounds_.size(); ++r) lines[r]["offsets"] = rounds_[r].offsets;
    write_text_file(record(),
                    nlohmann::json{{"key", key()}, {"rounds", std::move(lines)}, {"next", next_}}.dump(1) + "\n");
  }

  std::size_t best() const {
    const auto least = std::min_element(rounds_.begin(), rounds_.end(),
                                        [](const auto& a, const auto& b) { return a.held_out_cost < b.held_out_cost; });
    return static_cast<std::size_t>(least - rounds_.begin());
  }

  bool finished() const {
    if (rounds_.empty()) return false;
    return rounds_.size() >= static_cast<std::size_t>(std::max(1, learning_.rounds)) || best() + 1 < rounds_.size();
  }

  CompressionPlan plan_with(const std::map<std::string, double>& offsets) const {
    CompressionPlan plan = plan_;
    plan.allocator = "second_order";
    for (std::size_t i = 0; i < components_.size(); ++i) {
      if (!is_learnable(settings_[i])) continue;
      nlohmann::json setting = settings_[i].setting;
      setting["offset"] = offsets.at(components_[i].name);
      plan.components[components_[i].name] = std::move(setting);
    }
    return plan;
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
    round.offsets = number == 0 ? start_ : next_;
    const std::string label = fmt::format("round {} of at most {}", number + 1, learning_.rounds);
    const fs::path candidate = options_.work / "candidate";
    const CompressionReport report =
        compress_model(model_, plan_with(round.offsets), candidate, options_of_round(number), labelled(label));
    round.bytes = report.bytes;
    measure(open_model(candidate), report, round, label);
    rounds_.push_back(std::move(round));
    store();
    fs::remove_all(candidate);
    for (std::size_t r = 0; r < rounds_.size(); ++r) {
      if (r != best()) fs::remove_all(folder_of(r));
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
    const bool is_last = rounds_.size() + 1 >= static_cast<std::size_t>(std::max(1, learning_.rounds)) ||
                         (!rounds_.empty() && round.held_out_cost >= rounds_[best()].held_out_cost);
    if (is_last) {
      forward.progress_label = "training texts";
      round.training_cost = evaluate(decoder, learning_.training, forward);
      return;
    }
    ErrorGradients errors(model_, compressed);
    GradientOptions options;
    options.progress = labelled(label);
    options.progress_label = "gradients";
    round.training_cost = gradients(decoder, learning_.training.batch, *learning_.training.cost, errors, options);
    find_next(errors, report, round);
  }

  // The next offsets.
  void find_next(const ErrorGradients& errors, const CompressionReport& report, LearningRound& round) {
    std::map<std::string, Price> prices;
    Price all;
    for (const ComponentReport& line : report.components) {
      if (!round.offsets.contains(line.name) || !(line.bits_slope > 0)) continue;
      const Price price{errors.of(line.name), line.bits_slope};
      all.cost += price.cost;
      all.bits += price.bits;
      prices.emplace(line.name, price);
    }
    next_ = round.offsets;
    if (!(all.cost > 0)) return;  // nothing to be had: the next round is the same, and the last
    double squares = 0;
    for (const auto& [name, price] : prices) {
      const double relative = price.cost / price.bits / (all.cost / all.bits);
      const double log2_price = std::log2(std::max(relative, least_price));
      squares += log2_price * log2_price;
      next_[name] += learning_.rate * std::clamp(0.5 * log2_price, -longest_step, longest_step);
    }
    round.price_spread = std::sqrt(squares / static_cast<double>(prices.size()));
  }

  const ModelFolder& model_;
  const CompressionPlan& plan_;
  const CompressOptions& options_;
  const LearningOptions& learning_;
  ProgressCallback progress_;
  std::vector<ModelComponent> components_;
  std::vector<ComponentSetting> settings_;  // as components_
  std::map<std::string, double> start_;     // offsets of the plan
  std::map<std::string, double> next_;      // offsets of the round to come
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
