#include "lcomp/training/training_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace lcomp {
namespace {

constexpr std::int64_t many = std::int64_t{1} << 40;

std::uint64_t count(ConfigReader& reader, std::string_view key, std::uint64_t otherwise, std::int64_t low,
                    std::int64_t high = many) {
  return static_cast<std::uint64_t>(reader.integer_or(key, static_cast<std::int64_t>(otherwise), low, high));
}

ShareSchedule read_share(ConfigReader& reader) {
  ShareSchedule share;
  if (!reader.has("share") || reader.any("share").is_number()) {
    share.points = {{0, reader.real_or("share", 1, 0, 1e9)}};
    return share;
  }
  const std::string where = reader.where("share");
  for (const nlohmann::json& point : reader.array("share")) {
    const bool pair =
        point.is_array() && point.size() == 2 && point[0].is_number_integer() && point[0] >= 0 && point[1].is_number();
    if (!pair || !(point[1].get<double>() >= 0) ||
        (!share.points.empty() && share.points.back().first >= point[0].get<std::uint64_t>())) {
      throw Error(
          {where, point.dump(), "a number, or [[step, share], ...] with rising steps and shares of 0 or more", ""});
    }
    share.points.emplace_back(point[0].get<std::uint64_t>(), point[1].get<double>());
  }
  if (share.points.empty()) throw Error({where, "an empty list", "a number, or [[step, share], ...]", ""});
  return share;
}

void read_data(ConfigReader& reader, TrainingConfig& config) {
  reader.each_object("data", [&](ConfigReader& entry) {
    TrainingFile file;
    file.file = entry.string("file");
    file.share = read_share(entry);
    config.data.push_back(std::move(file));
  });
  if (config.data.empty()) throw Error({reader.where("data"), "no files", "at least one", ""});
  // The sum of lines is 0 only where all are, which happens at one of their points if at all.
  for (const TrainingFile& at : config.data) {
    for (const auto& point : at.share.points) {
      double sum = 0;
      for (const TrainingFile& file : config.data) sum += file.share.at(point.first);
      if (sum > 0) continue;
      throw Error({reader.where("data"), fmt::format("shares that are all 0 at step {}", point.first),
                   "one above 0 at every step", ""});
    }
  }
}

void read_optimizer(ConfigReader& reader, TrainingConfig& config) {
  LearningRate& rate = config.learning_rate;
  rate.peak = reader.real_or("learning_rate", rate.peak, 0, 1e3);
  rate.warmup = count(reader, "warmup", 0, 0);
  const std::string schedule = reader.one_of_or("schedule", "cosine", {"cosine", "linear", "constant"});
  rate.schedule = schedule == "cosine"   ? RateSchedule::cosine
                  : schedule == "linear" ? RateSchedule::linear
                                         : RateSchedule::constant;
  rate.final_fraction = reader.real_or("final_fraction", rate.final_fraction, 0, 1);
  if (reader.has("betas")) {
    const std::vector<double> betas = reader.reals("betas", 0, 0.9999999);
    if (betas.size() != 2) {
      throw Error({reader.where("betas"), fmt::format("{} numbers", betas.size()), "two, such as [0.9, 0.95]", ""});
    }
    config.adamw.beta1 = betas[0];
    config.adamw.beta2 = betas[1];
  }
  config.adamw.epsilon = reader.real_or("eps", config.adamw.epsilon, 1e-30, 1);
  config.adamw.weight_decay = reader.real_or("weight_decay", config.adamw.weight_decay, 0, 100);
  config.clip = reader.real_or("clip", config.clip, 0, 1e9);
}

nlohmann::json read_new_model(const nlohmann::json& json, const std::string& where) {
  ConfigReader reader(json, where);
  nlohmann::json shape;
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    shape[key] = reader.integer(key, 1, 1 << 24);
  }
  shape["num_key_value_heads"] =
      reader.integer_or("num_key_value_heads", shape["num_attention_heads"].get<std::int64_t>(), 1, 1 << 24);
  if (reader.has("head_dim")) shape["head_dim"] = reader.integer("head_dim", 2, 65536);
  shape["max_position_embeddings"] = reader.integer_or("max_position_embeddings", 2048, 2, 1 << 30);
  shape["rope_theta"] = reader.real_or("rope_theta", 10000, 1, 1e18);
  shape["rms_norm_eps"] = reader.real_or("rms_norm_eps", 1e-5, 1e-12, 1);
  shape["tie_word_embeddings"] = reader.boolean_or("tie_word_embeddings", true);
  reader.finish();
  return shape;
}

void read_blockwise(ConfigReader& reader, TrainingConfig& config) {
  if (!config.qat || config.model.empty() || config.teacher || config.held_out) {
    throw Error({reader.where("blockwise"), "together with \"new\", \"teacher\" or \"held_out\", or without \"qat\"",
                 "the folder of a model, and \"qat\"", ""});
  }
  ConfigReader inner(reader.object("blockwise"), reader.where("blockwise"));
  BlockwiseOptions options;
  options.steps = config.steps;
  options.batch = config.batch;
  options.seed = config.seed;
  config.blockwise_windows = count(inner, "windows", config.blockwise_windows, 1, 1 << 24);
  if (inner.has("rate")) options.rate = inner.real("rate", 0, 1);
  if (inner.has("step_rate")) options.step_rate = inner.real("step_rate", 0, 1);
  inner.finish();
  config.blockwise = options;
}

DenseType read_dtype(ConfigReader& reader) {
  const std::string type = reader.one_of_or("dtype", "float16", {"float16", "bfloat16", "float32"});
  return type == "float16" ? DenseType::f16 : type == "bfloat16" ? DenseType::bf16 : DenseType::f32;
}

std::string dtype_name(DenseType type) {
  switch (type) {
    case DenseType::f32:
      return "float32";
    case DenseType::f16:
      return "float16";
    case DenseType::bf16:
      return "bfloat16";
  }
  return "";
}

nlohmann::json share_json(const ShareSchedule& share) {
  if (share.points.size() == 1 && share.points[0].first == 0) return share.points[0].second;
  nlohmann::json points = nlohmann::json::array();
  for (const auto& [step, value] : share.points) points.push_back({step, value});
  return points;
}

}  // namespace

double ShareSchedule::at(std::uint64_t step) const {
  const auto after = std::ranges::upper_bound(points, step, {}, [](const auto& point) { return point.first; });
  if (after == points.begin()) return points.front().second;
  if (after == points.end()) return points.back().second;
  const auto& [low, from] = *(after - 1);
  const auto& [high, to] = *after;
  return from + (to - from) * static_cast<double>(step - low) / static_cast<double>(high - low);
}

TrainingConfig TrainingConfig::from_json(const nlohmann::json& json, const std::string& where) {
  ConfigReader reader(json, where);
  TrainingConfig config;
  const nlohmann::json& model = reader.any("model");
  if (model.is_string()) {
    config.model = reader.string("model");
  } else {
    ConfigReader outer(reader.object("model"), reader.where("model"));
    config.new_model = read_new_model(outer.object("new"), outer.where("new"));
    outer.finish();
  }
  config.tokenizer = reader.string_or("tokenizer", "");
  if (config.tokenizer.empty() && config.model.empty()) {
    throw Error({reader.where("tokenizer"), "none", "a folder or file with the new model's tokenizer", ""});
  }
  config.initial_deviation = reader.real_or("initial_deviation", config.initial_deviation, 0, 10);
  config.end_token = reader.string_or("end_token", "");
  read_data(reader, config);
  config.joined = reader.one_of_or("texts", "separate", {"separate", "joined"}) == "joined";
  config.window = count(reader, "window", config.window, 2, 1 << 24);
  config.batch = count(reader, "batch", config.batch, 1, 1 << 24);
  config.accumulation = count(reader, "accumulation", config.accumulation, 1, 1 << 24);
  config.steps = count(reader, "steps", config.steps, 1);
  read_optimizer(reader, config);
  config.seed = count(reader, "seed", config.seed, 0, std::int64_t{1} << 53);
  config.checkpoint_every = count(reader, "checkpoint_every", config.checkpoint_every, 1);
  config.evaluate_every = count(reader, "evaluate_every", config.evaluate_every, 1);
  if (reader.has("held_out")) {
    ConfigReader held(reader.object("held_out"), reader.where("held_out"));
    HeldOutTexts texts;
    texts.file = held.string("file");
    texts.windows = count(held, "windows", texts.windows, 1);
    held.finish();
    config.held_out = std::move(texts);
  }
  if (reader.has("qat")) config.qat = QuantizedTraining::from_json(reader.object("qat"), reader.where("qat"));
  if (reader.has("teacher")) {
    ConfigReader taught(reader.object("teacher"), reader.where("teacher"));
    Teacher teacher;
    teacher.model = taught.string("model");
    teacher.top_tokens = count(taught, "top_tokens", teacher.top_tokens, 0);
    if (taught.has("cache")) teacher.cache = taught.string("cache");
    if (!teacher.cache.empty() && teacher.top_tokens == 0) {
      throw Error({taught.where("cache"), "a cache of all tokens' probabilities", "top_tokens above 0",
                   "leave out \"cache\", or give \"top_tokens\""});
    }
    taught.finish();
    config.teacher = std::move(teacher);
  }
  if (reader.has("blockwise")) read_blockwise(reader, config);
  config.dtype = read_dtype(reader);
  if (config.qat) config.qat->dense = config.dtype;
  config.out = reader.string("out");
  if (config.out.empty()) throw Error({reader.where("out"), "an empty name", "a folder to write", ""});
  reader.finish();
  return config;
}

nlohmann::json to_json(const TrainingConfig& config) {
  nlohmann::json json;
  if (config.new_model.is_null()) {
    json["model"] = config.model.string();
  } else {
    json["model"] = {{"new", config.new_model}};
    json["initial_deviation"] = config.initial_deviation;
  }
  json["tokenizer"] = config.tokenizer.string();
  json["end_token"] = config.end_token;
  json["data"] = nlohmann::json::array();
  for (const TrainingFile& file : config.data) {
    json["data"].push_back({{"file", file.file.string()}, {"share", share_json(file.share)}});
  }
  json["texts"] = config.joined ? "joined" : "separate";
  json["window"] = config.window;
  json["batch"] = config.batch;
  json["accumulation"] = config.accumulation;
  json["steps"] = config.steps;
  json["learning_rate"] = config.learning_rate.peak;
  json["warmup"] = config.learning_rate.warmup;
  json["schedule"] = name(config.learning_rate.schedule);
  json["final_fraction"] = config.learning_rate.final_fraction;
  json["betas"] = {config.adamw.beta1, config.adamw.beta2};
  json["eps"] = config.adamw.epsilon;
  json["weight_decay"] = config.adamw.weight_decay;
  json["clip"] = config.clip;
  json["seed"] = config.seed;
  json["checkpoint_every"] = config.checkpoint_every;
  json["evaluate_every"] = config.evaluate_every;
  if (config.held_out) {
    json["held_out"] = {{"file", config.held_out->file.string()}, {"windows", config.held_out->windows}};
  }
  if (config.qat) json["qat"] = to_json(*config.qat);
  if (config.teacher) {
    json["teacher"] = {{"model", config.teacher->model.string()}, {"top_tokens", config.teacher->top_tokens}};
    if (!config.teacher->cache.empty()) json["teacher"]["cache"] = config.teacher->cache.string();
  }
  if (config.blockwise) {
    json["blockwise"] = {{"windows", config.blockwise_windows}};
    if (config.blockwise->rate) json["blockwise"]["rate"] = *config.blockwise->rate;
    if (config.blockwise->step_rate) json["blockwise"]["step_rate"] = *config.blockwise->step_rate;
  }
  json["dtype"] = dtype_name(config.dtype);
  json["out"] = config.out.string();
  return json;
}

std::vector<std::string> differences(const nlohmann::json& before, const nlohmann::json& now, bool extending) {
  constexpr std::array<std::string_view, 5> free = {"checkpoint_every", "evaluate_every", "held_out", "dtype", "out"};
  constexpr std::array<std::string_view, 10> while_extending = {
      "steps", "learning_rate", "warmup",       "schedule", "final_fraction",
      "betas", "eps",           "weight_decay", "clip",     "accumulation"};
  // Shares may change, files may not.
  const auto compared = [&](nlohmann::json json) {
    for (const std::string_view key : free) {
      if (key != "dtype" || !json.contains("qat")) json.erase(std::string(key));  // of qat, what the model sees
    }
    if (json.contains("teacher") && json["teacher"].is_object()) json["teacher"].erase("cache");
    if (!extending) return json;
    for (const std::string_view key : while_extending) json.erase(std::string(key));
    if (json.contains("data")) {
      for (nlohmann::json& file : json["data"]) file.erase("share");
    }
    return json;
  };
  const nlohmann::json a = compared(before).flatten(), b = compared(now).flatten();
  std::vector<std::string> list;
  const auto readable = [](std::string pointer) {
    if (!pointer.empty()) pointer.erase(0, 1);
    std::ranges::replace(pointer, '/', '.');
    return pointer;
  };
  for (const auto& [key, value] : a.items()) {
    if (!b.contains(key)) {
      list.push_back(fmt::format("{}: {}, now absent", readable(key), value.dump()));
    } else if (b[key] != value) {
      list.push_back(fmt::format("{}: {}, now {}", readable(key), value.dump(), b[key].dump()));
    }
  }
  for (const auto& [key, value] : b.items()) {
    if (!a.contains(key)) list.push_back(fmt::format("{}: absent, now {}", readable(key), value.dump()));
  }
  return list;
}

}  // namespace lcomp
