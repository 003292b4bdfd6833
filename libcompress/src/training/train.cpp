#include "lcomp/training/train.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/models/model_identity.h"
#include "lcomp/training/projected_weights.h"
#include "lcomp/training/training_log.h"
#include "training/checkpoint.h"
#include "training/parameter_gradients.h"
#include "training/trained_model.h"
#include "training/training_texts.h"
#include "training/window_stream.h"

namespace lcomp {
namespace {

std::filesystem::path tokenizer_path(const TrainingConfig& config) {
  return config.tokenizer.empty() ? config.model : config.tokenizer;
}

std::optional<TokenId> end_token_of(const TrainingConfig& config, const Tokenizer& tokenizer) {
  if (config.end_token.empty()) return std::nullopt;
  const std::optional<TokenId> id = tokenizer.token_to_id(config.end_token);
  if (id) return id;
  throw Error({"end_token", "\"" + config.end_token + "\"", "a token of " + tokenizer_path(config).string(), ""});
}

class Clock {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// One call of train().
class Training {
 public:
  Training(const TrainingConfig& config, const TrainingOptions& options)
      : config_(config),
        options_(options),
        tokenizer_(load_tokenizer(tokenizer_path(config))),
        end_token_(end_token_of(config, *tokenizer_)) {
    std::error_code failure;
    if (!config.model.empty() && std::filesystem::equivalent(config.model, config.out, failure)) {
      throw Error({"out", config.out.string() + ", the model that the training begins with", "another folder", ""});
    }
    read_texts();
    trainable_ = make_trainable_model(config, *tokenizer_, end_token_);
    tokenizer_.reset();
    const std::size_t positions = trainable_.model.config.max_positions;
    if (config.window > positions) {
      throw Error({"window", fmt::format("{} tokens", config.window),
                   fmt::format("at most {}, the model's context", positions), ""});
    }
    if (config.new_model.is_null()) content_["model"] = model_identity(trainable_.model);
    if (config.qat) projected_ = std::make_shared<ProjectedWeights>(trainable_.model, *config.qat);
    if (config.qat && !config.qat->start.empty()) {
      content_["start"] = model_identity(open_model(config.qat->start));
    }
    if (config.teacher) open_teacher();
  }

  TrainingResult run();

 private:
  void read_texts();
  void open_teacher();
  // The state to begin with: new, or of the last checkpoint.
  std::unique_ptr<TrainingState> begin();
  void require_same(const std::filesystem::path& file) const;
  TrainingLogRow step(Decoder& decoder, WindowStream& stream, TrainingState& state);
  void update(TrainingState& state, double learning_rate, double norm);
  void save(const TrainingState& state);
  void write_model(const TrainingState& state);
  bool model_is_written(const TrainingState& state) const;
  void report(const TrainingLogRow& row, double tokens_per_second, double remaining);
  [[noreturn]] void diverged(const TrainingState& state, const std::string& what) const;

  const TrainingConfig& config_;
  const TrainingOptions& options_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<TokenId> end_token_;
  std::vector<TrainingTexts> texts_;
  TrainingBatch held_out_;
  nlohmann::json content_;  // hashes of the files
  TrainableModel trainable_;
  std::shared_ptr<ProjectedWeights> projected_;  // null: the weights as they are
  std::unique_ptr<Decoder> teacher_;
  std::unique_ptr<TeacherCache> cache_;
  std::unique_ptr<Parameters> gradient_;
  TrainingResult result_;
  std::string label_;  // of progress
  double label_time_ = 0;
};

void Training::read_texts() {
  content_["texts"] = nlohmann::json::array();
  for (const TrainingFile& file : config_.data) {
    texts_.push_back(TrainingTexts::read(file.file, *tokenizer_, end_token_));
    content_["texts"].push_back(texts_.back().hash());
    if (texts_.back().tokens() >= config_.window) continue;
    throw Error({file.file.string(), fmt::format("{} tokens", texts_.back().tokens()),
                 fmt::format("at least {}, a window", config_.window), "give more texts, or a smaller window"});
  }
  if (!config_.held_out) return;
  const TrainingTexts held_out = TrainingTexts::read(config_.held_out->file, *tokenizer_, end_token_);
  held_out_ = first_windows(held_out, config_.window, config_.joined, config_.held_out->windows);
  if (held_out_.total_weight > 0) return;
  throw Error({config_.held_out->file.string(), "texts in which no token has a weight", "at least one", ""});
}

void Training::open_teacher() {
  ModelFolder model = open_model(config_.teacher->model);
  if (model.config.vocab_size != trainable_.model.config.vocab_size) {
    throw Error({config_.teacher->model.string(), fmt::format("a teacher with {} tokens", model.config.vocab_size),
                 fmt::format("{}, as the model has", trainable_.model.config.vocab_size), ""});
  }
  content_["teacher"] = model_identity(model);
  if (!config_.teacher->cache.empty()) {
    cache_ = std::make_unique<TeacherCache>(
        config_.teacher->cache,
        fmt::format("{} {}", content_["teacher"].get<std::string>(), config_.teacher->top_tokens));
  }
  teacher_ = std::make_unique<Decoder>(std::move(model));
  teacher_->load_all();
}

void Training::require_same(const std::filesystem::path& file) const {
  const nlohmann::json before = checkpoint_description(file);
  std::vector<std::string> differing = differences(before["config"], to_json(config_), options_.extend);
  for (const std::string& each : differences({{"files", before["content"]}}, {{"files", content_}}, false)) {
    differing.push_back(each);
  }
  if (differing.empty()) return;
  const bool extensible =
      differences(before["config"], to_json(config_), true).empty() && before["content"] == content_;
  throw Error({file.string(), fmt::format("a checkpoint of another configuration ({})", fmt::join(differing, "; ")),
               "the one that it was made with",
               extensible ? "go on with the new values by --extend, or write to another folder"
                          : "write to another folder, or delete the checkpoints"});
}

std::unique_ptr<TrainingState> Training::begin() {
  const std::vector<TensorInfo> tensors = projected_ ? projected_->trained_tensors() : trainable_.parameters->tensors();
  const auto empty = [&] { return Parameters(config_.out.string(), tensors); };
  auto state = std::make_unique<TrainingState>(TrainingState{0, 0, 0, nullptr, empty(), empty(), empty()});
  const auto checkpoint = last_checkpoint(config_.out / "checkpoints");
  if (!checkpoint) {
    for (const TensorInfo& info : trainable_.parameters->tensors()) {
      std::ranges::copy(trainable_.parameters->values(info.name), state->weights.values(info.name).begin());
    }
    if (projected_) projected_->initialize(state->weights);
    return state;
  }
  require_same(*checkpoint);
  load_checkpoint(*checkpoint, *state);
  return state;
}

void Training::diverged(const TrainingState& state, const std::string& what) const {
  const auto checkpoint = last_checkpoint(config_.out / "checkpoints");
  throw Error({fmt::format("step {}", state.step + 1), what, "a training that converges",
               fmt::format("lower the learning rate, or its warmup is too short; {}",
                           checkpoint ? "the last good checkpoint is " + checkpoint->string()
                                      : std::string("there is no checkpoint yet"))});
}

void Training::update(TrainingState& state, double learning_rate, double norm) {
  const double scale = config_.clip > 0 ? std::min(1.0, config_.clip / (norm + 1e-6)) : 1.0;
  AdamWOptions undecayed = config_.adamw;
  undecayed.weight_decay = 0;
  for (const TensorInfo& info : state.weights.tensors()) {
    adamw_update(info.shape.size() >= 2 ? config_.adamw : undecayed, learning_rate, state.step + 1,
                 static_cast<float>(scale), gradient_->values(info.name), state.first_moment.values(info.name),
                 state.second_moment.values(info.name), state.weights.values(info.name));
  }
}

TrainingLogRow Training::step(Decoder& decoder, WindowStream& stream, TrainingState& state) {
  TrainingLogRow row;
  row.learning_rate = config_.learning_rate.at(state.step, config_.steps);
  std::vector<double> shares;
  for (const TrainingFile& file : config_.data) shares.push_back(file.share.at(state.step));
  std::vector<TrainingBatch> batches;
  for (std::uint64_t i = 0; i < config_.accumulation; ++i) {
    batches.push_back(stream.next(config_.batch, shares));
    state.tokens += batches.back().tokens.tokens();
  }
  try {
    TrainingCost cost;
    cost.teacher = teacher_.get();
    cost.cache = cache_.get();
    if (config_.teacher) cost.top_tokens = config_.teacher->top_tokens;
    if (config_.qat && config_.qat->plan.activations) cost.activations = &*config_.qat->plan.activations;
    row.loss = training_gradients(decoder, *decoder.model().tensors, batches, cost, *gradient_);
    if (projected_) projected_->pass_back(state.weights, *gradient_);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::system) throw;
    diverged(state, error.what());
  }
  row.gradient_norm = euclidean_norm(gradient_->values());
  if (!std::isfinite(row.gradient_norm)) diverged(state, "a gradient whose norm is not finite");
  update(state, row.learning_rate, row.gradient_norm);
  if (projected_) projected_->project(state.weights);
  row.step = ++state.step;
  row.tokens = state.tokens;
  return row;
}

void Training::save(const TrainingState& state) {
  save_checkpoint(config_.out / "checkpoints", state, to_json(config_), content_);
  write_model(state);
}

// training.json comes last: where it speaks of a step, the model is that of the step.
void Training::write_model(const TrainingState& state) {
  if (projected_) {
    result_.bytes = projected_->write(trainable_.model, config_.out / "model", tokenizer_path(config_)).bytes;
  } else {
    write_trained_model(config_.out, trainable_.model, state.weights, config_.dtype, tokenizer_path(config_));
  }
  nlohmann::json json = {{"config", to_json(config_)}, {"files", content_}, {"result", to_json(result_)}};
  if (!options_.program_version.empty()) json["program"] = options_.program_version;
  write_text_file(config_.out / "training.json", json.dump(2) + "\n");
}

bool Training::model_is_written(const TrainingState& state) const {
  const std::filesystem::path file = config_.out / "training.json";
  if (!std::filesystem::exists(file)) return false;
  const nlohmann::json json = parse_json_file(file);
  const nlohmann::json::json_pointer steps("/result/steps");
  return json.contains(steps) && json[steps] == state.step;
}

void Training::report(const TrainingLogRow& row, double tokens_per_second, double remaining) {
  if (!options_.progress) return;
  // A new label is a new line where progress is lines.
  constexpr double label_seconds = 10;
  if (label_.empty() || row.seconds - label_time_ >= label_seconds || row.held_out_loss) {
    label_ = fmt::format("train (loss {:.4f}, {:.0f} tokens/s)", row.loss, tokens_per_second);
    if (row.held_out_loss)
      label_ = fmt::format("{}, held out {:.4f})", label_.substr(0, label_.size() - 1), *row.held_out_loss);
    label_time_ = row.seconds;
  }
  ProgressEvent event;
  event.label = label_;
  event.done = row.step;
  event.total = config_.steps;
  event.elapsed_seconds = row.seconds;
  event.remaining_seconds = remaining;
  options_.progress(event);
}

TrainingResult Training::run() {
  std::unique_ptr<TrainingState> state = begin();
  gradient_ = std::make_unique<Parameters>("gradients", state->weights.tensors());
  std::vector<const TrainingTexts*> sources;
  for (const TrainingTexts& texts : texts_) sources.push_back(&texts);
  WindowStream stream(std::move(sources), config_.window, config_.joined, Rng(config_.seed).split("texts"));
  if (!state->position.is_null()) stream.restore(state->position, config_.out.string());
  std::error_code failure;
  std::filesystem::create_directories(config_.out, failure);
  if (failure) throw system_error(config_.out.string(), "make the folder", failure.value());
  TrainingLog log(config_.out / "log.csv", state->step);

  // The model that is trained and evaluated has the weights of the state, whose memory stays where it is, or what they
  // are rounded to; it is evaluated with integer activations where there are any.
  ModelFolder model = trainable_.model;
  model.tensors = std::shared_ptr<const TensorSource>(std::shared_ptr<void>(), &state->weights);
  if (projected_) {
    projected_->project(state->weights);
    model.tensors = projected_;
  }
  Decoder decoder(model);
  if (config_.qat && config_.qat->plan.activations)
    model.activations = ActivationQuantization{*config_.qat->plan.activations, {}};
  result_.first_step = state->step;
  result_.parameters = model.parameters();
  result_.loss = std::numeric_limits<double>::quiet_NaN();
  const Clock clock;
  const double seconds_before = state->seconds;
  const std::uint64_t tokens_before = state->tokens;
  while (state->step < config_.steps) {
    TrainingLogRow row = step(decoder, stream, *state);
    state->position = stream.position();
    const bool last = state->step == config_.steps;
    if (config_.held_out && (last || state->step % config_.evaluate_every == 0)) {
      row.held_out_loss = next_token_loss(model, held_out_);
      result_.held_out_loss = row.held_out_loss;
    }
    row.seconds = state->seconds = seconds_before + clock.seconds();
    log.append(row);
    result_.steps = state->step;
    result_.tokens = state->tokens;
    result_.loss = row.loss;
    result_.seconds = state->seconds;
    const double rate = static_cast<double>(state->tokens - tokens_before) / clock.seconds();
    const double per_step = clock.seconds() / static_cast<double>(state->step - result_.first_step);
    const bool saved = last || state->step % config_.checkpoint_every == 0;
    if (saved) save(*state);
    try {
      report(row, rate, per_step * static_cast<double>(config_.steps - state->step));
    } catch (const Interrupted&) {
      if (!saved) save(*state);
      throw;
    }
  }
  result_.steps = state->step;
  result_.tokens = state->tokens;
  result_.seconds = state->seconds;
  // Killed after the last checkpoint, before the model.
  if (result_.first_step == state->step && !model_is_written(*state)) write_model(*state);
  return result_;
}

}  // namespace

nlohmann::json to_json(const TrainingResult& result) {
  nlohmann::json json = {{"steps", result.steps},
                         {"tokens", result.tokens},
                         {"seconds", result.seconds},
                         {"parameters", result.parameters}};
  if (result.bytes > 0) json["bytes"] = result.bytes;
  if (std::isfinite(result.loss)) json["loss"] = result.loss;
  if (result.held_out_loss) json["held_out_loss"] = *result.held_out_loss;
  if (result.first_step > 0) json["first_step"] = result.first_step;
  return json;
}

TrainingResult train(const TrainingConfig& config, const TrainingOptions& options) {
  return Training(config, options).run();
}

}  // namespace lcomp
