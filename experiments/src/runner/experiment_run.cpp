#include "runner/experiment_run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "lcomp/calibration/calibration_key.h"
#include "lcomp/compression/bit_distribution.h"
#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/eval/answer_comparison.h"
#include "lcomp/eval/reference_cache.h"
#include "lcomp/eval/text_scores.h"
#include "lcomp/forward/compute_type.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/models/model_identity.h"
#include "lcomp/pipeline/calibration_setting.h"
#include "lcomp/pipeline/model_tokenizer.h"
#include "lcomp/pipeline/run_job.h"
#include "lcomp/version.h"
#include "report/experiment_table.h"
#include "report/run_report.h"
#include "runner/environment.h"
#include "runner/experiment_check.h"
#include "runner/time_estimate.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

constexpr int kCellVersion = 2;  // raised when the meaning of stored cells changes

// Keeps a second run out of the same folder while this one lives.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : descriptor_(open((folder / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) throw system_error((folder / ".lock").string(), "open", errno);
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      close(descriptor_);
      throw Error({folder.string(), "another run at work in this folder", "", "wait for it, or choose another --out"});
    }
  }
  ~FolderLock() { close(descriptor_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

struct Cell {
  const ExperimentMethod* method = nullptr;  // null: the original
  const ExperimentSize* size = nullptr;
  nlohmann::json plan;  // as it was written
  std::optional<CompressionJob> job;
  fs::path folder;
  std::string label;
  std::string compression;  // the folder's name if nothing were tuned
};

struct Task {
  const ExperimentTask* setting = nullptr;
  ScoringBatch batch;
  ChoiceTask choices;  // instead of the batch, for questions
  std::string id;
  Matrix original_states;  // of kl; filled when the first cell needs them

  const std::string& description() const { return setting->choices ? choices.description : batch.description; }
  nlohmann::json protocol() const {
    return setting->choices ? setting->choices->to_json() : setting->protocol.to_json();
  }
};

class Experiment {
 public:
  Experiment(const ExperimentConfig& config, ProgressCallback progress)
      : config_(config), progress_(std::move(progress)), original_(open_checked(config)) {
    make_cells();  // a wrong setting is found before any work
    require_disk_space(config, original_);
    const auto tokenizer = load_model_tokenizer(original_);
    for (const auto& setting : config.tasks) {
      Task task;
      task.setting = &setting;
      Hasher hasher;
      if (setting.choices) {
        task.choices = make_choice_task(*setting.choices, *tokenizer, original_.config.max_positions,
                                        setting.data.empty() ? config.data : setting.data);
        hasher.update(task.choices.key);
      } else {
        task.batch = make_scoring_batch(setting.protocol, *tokenizer, config.data);
        hasher.update(hash_batch(task.batch));
      }
      hasher.update(name(config.compute) + (setting.kl ? " kl" : ""));
      task.id = hasher.hex().substr(0, 16);
      tasks_.push_back(std::move(task));
    }
    name_cells();
  }

  // What is left to do, and for how long.
  std::string announcement() {
    std::size_t cells = 0;
    double compression = 0, calibration = 0, evaluation = 0;
    const TimeEstimate estimate(original_decoder());
    std::set<std::string> calibrated;
    for (const Cell& cell : cells_) {
      const bool compressed = fs::exists(cell.folder / "cell.json");
      std::vector<const Task*> open;
      for (const Task& task : tasks_) {
        if (!fs::exists(score_file(cell, task))) open.push_back(&task);
      }
      if (open.empty() && compressed) continue;
      ++cells;
      for (const Task* task : open) evaluation += scoring_time(*task, estimate);
      if (cell.method == nullptr) continue;
      const bool is_there = compressed && fs::exists(cell.folder / "model");
      if (!is_there) {
        const double once = estimate.compression(*cell.method, *cell.size);
        compression += estimate.job(*cell.job, once, fs::exists(learned_by(cell)));
      }
      if (!cell.job->calibration) continue;
      const CalibrationSetting& setting = *cell.job->calibration;
      const std::size_t tokens = calibration_tokens(cell).texts.batch.tokens();
      const double once = estimate.calibration(tokens) + (setting.sensitivity ? estimate.gradients(tokens) : 0);
      if (!is_there) calibration += cell.method->recalibrations * once;
      const bool shared = setting.order == CalibrationSetting::Order::original;
      if (shared && (fs::exists(archive_of(cell)) || !calibrated.insert(archive_of(cell).string()).second)) {
        continue;
      }
      calibration += (shared ? 1 : 2) * once;
    }
    if (cells == 0) return fmt::format("{}: everything is there already", config_.name);
    return fmt::format(
        "{}: {} of {} cells to compute, {} (compression {:.0f} %, calibration {:.0f} %, scoring {:.0f} %), at most "
        "{:.1f} GB of disk",
        config_.name, cells, cells_.size(), rough_duration(compression + calibration + evaluation),
        100 * compression / (compression + calibration + evaluation),
        100 * calibration / (compression + calibration + evaluation),
        100 * evaluation / (compression + calibration + evaluation),
        static_cast<double>(disk_need(config_, original_)) / 1e9);
  }

  ExperimentResult run(const std::function<void(const std::string&)>& announce) {
    std::error_code failure;
    fs::create_directories(config_.output / "cells", failure);
    if (failure) throw system_error(config_.output.string(), "make the folder", failure.value());
    lock_.emplace(config_.output);
    if (announce) announce(announcement());
    write_text_file(config_.output / "environment.json", describe_environment().dump(2) + "\n");
    std::size_t number = 0;
    for (const Cell& cell : cells_) {
      ++number;
      position_ = fmt::format("[{}/{}] {}", number, cells_.size(), cell.label);
      const bool computed = cell.method == nullptr ? finish_original(cell) : finish_compressed(cell);
      ++(computed ? result_.computed_cells : result_.kept_cells);
      write_results();
    }
    write_text_file(config_.output / "report.html", run_report(read_recorded_run(config_.output)));
    return std::move(result_);
  }

 private:
  static ModelFolder open_checked(const ExperimentConfig& config) {
    require_files(config);
    return open_model(config.model);
  }

  static double scoring_time(const Task& task, const TimeEstimate& estimate) {
    if (!task.setting->choices) {
      const std::size_t scored = task.batch.scored_tokens();
      return estimate.forward(task.batch.tokens.tokens(), 1, task.setting->kl ? 2 * scored : scored);
    }
    // Groups share beginnings: about 16,384 tokens in each.
    std::size_t tokens = 0, longest = 0;
    for (const auto& question : task.choices.questions) {
      longest = std::max(longest, question.tokens());
      for (const auto& prompt : question.prompts) tokens += prompt.ids.size();
    }
    const std::size_t groups = task.choices.groups.size() - 1;
    return estimate.forward(std::min(tokens, groups * (std::size_t{16384} + longest)), groups,
                            task.choices.questions.size());
  }

  void make_cells() {
    Cell original;
    original.label = "original";
    cells_.push_back(std::move(original));
    for (const auto& method : config_.methods) {
      for (std::size_t i = 0; i < method.sizes.size(); ++i) {
        Cell cell;
        cell.method = &method;
        cell.size = &method.sizes[i];
        cell.plan = method.plan_record(*cell.size);
        cell.job =
            CompressionJob::from_parts(method.plans[i], method.job_parts(), method.name, config_.data, config_.compute);
        if (cell.job->uses_calibration() && !cell.job->calibration) {
          throw Error({method.name, "a method that uses statistics, without \"calibration\"", "calibration texts",
                       "add \"calibration\": {\"texts\": ...} to the experiment or the method"});
        }
        cell.label = method.name + ", " + cell.size->name();
        cells_.push_back(std::move(cell));
      }
    }
  }

  // Folders are named by everything that decides what is in them.
  void name_cells() {
    identity_ = model_identity(original_);
    const auto folder = [&](const nlohmann::json& setting) {
      Hasher hasher;
      hasher.update(fmt::format("{} {}", kCellVersion, version()));
      hasher.update(identity_);
      hasher.update(setting.dump());
      return config_.output / "cells" / hasher.hex().substr(0, 16);
    };
    for (Cell& cell : cells_) {
      if (cell.method == nullptr) {
        cell.folder = folder("original");
        continue;
      }
      const ExperimentMethod& method = *cell.method;
      nlohmann::json identity = cell.plan;
      if (cell.job->calibration) {
        identity = {
            {"plan", cell.plan}, {"calibration", method.calibration}, {"texts", calibration_tokens(cell).token_hash}};
        if (cell.job->learns()) identity["learning"] = method.learning;
      }
      if (method.recalibrations > 0) {
        identity = {{"compression", identity}, {"recalibrations", method.recalibrations}};
      }
      cell.compression = folder(identity).filename().string();
      if (!method.tuning.is_null()) identity = {{"compression", identity}, {"repair", method.tuning}};
      cell.folder = folder(identity);
    }
  }

  struct Calibration {
    CalibrationTexts texts;
    std::string token_hash;
  };

  // Computed once for each different setting.
  const Calibration& calibration_tokens(const Cell& cell) {
    Calibration& calibration = calibrations_[cell.method->calibration.dump()];
    if (calibration.token_hash.empty()) {
      calibration.texts = calibration_texts(*cell.job->calibration, original_);
      calibration.token_hash = hash_tokens(calibration.texts.batch);
    }
    return calibration;
  }

  // Statistics of the original, for all cells of one calibration.
  fs::path archive_of(const Cell& cell) {
    Hasher hasher;
    hasher.update(calibration_tokens(cell).token_hash);
    hasher.update(name(config_.compute));
    return config_.output / "calibration" / hasher.hex().substr(0, 16);
  }

  // What cells learn that differ in the tuning alone.
  fs::path learned_by(const Cell& cell) const { return config_.output / "learned" / (cell.compression + ".json"); }

  // What an interrupted compression goes on with.
  static fs::path work_folder(const Cell& cell) { return cell.folder / "work"; }

  static fs::path score_file(const Cell& cell, const Task& task) {
    return cell.folder / ("score-" + task.id + ".json");
  }

  ForwardOptions forward_options(const std::string& what) const {
    ForwardOptions options;
    options.progress = progress_;
    options.progress_label = position_ + ": " + what;
    return options;
  }

  Decoder& original_decoder() {
    if (!original_decoder_) original_decoder_.emplace(original_, config_.compute);
    return *original_decoder_;
  }

  static fs::path answer_file(const fs::path& cell_folder, const Task& task) {
    return cell_folder / ("answers-" + task.id + ".jsonl");
  }

  // Answers the questions of a task, going on where an interrupted run stopped.
  void store_choices(const Cell& cell, const Task& task, Decoder& decoder) {
    ChoiceScoreOptions options;
    options.forward = forward_options(task.setting->name);
    const fs::path path = answer_file(cell.folder, task);
    std::vector<ChoiceAnswer> answers;
    {
      AnswerLog log(path, {{"protocol", task.protocol()},
                           {"description", task.choices.description},
                           {"key", task.choices.key},
                           {"model", cell.folder.filename().string()},
                           {"compute", name(config_.compute)}});
      answers = answer_choices(decoder, task.choices, log, options);
    }
    nlohmann::json json = {{"task", task.setting->name},          {"description", task.choices.description},
                           {"protocol", task.protocol()},         {"compute", name(config_.compute)},
                           {"answers", path.filename().string()}, {"choices", to_json(summarize(answers))}};
    if (cell.method != nullptr) {
      const AnswerFile original = read_answer_file(answer_file(cells_.front().folder, task));
      json["against_original"] = to_json(compare_answers(original, read_answer_file(path)));
    }
    write_text_file(score_file(cell, task), json.dump(2) + "\n");
  }

  // What the original computed for a kl task: one forward pass, kept for all cells and later runs.
  const Matrix& original_states(Task& task) {
    if (task.original_states.empty()) {
      const fs::path cache = config_.cache.empty() ? config_.output / "reference" : config_.cache;
      task.original_states =
          cached_states(reference_file(cache, identity_, config_.compute, task.batch), original_decoder(), task.batch,
                        forward_options(task.setting->name + ", original"));
    }
    return task.original_states;
  }

  ReferenceStates reference(Task& task) {
    if (!task.setting->kl) return {};
    return {&original_decoder(), &original_states(task)};
  }

  void store_score(const Cell& cell, const Task& task, const TextScores& scores) {
    nlohmann::json json = {{"task", task.setting->name},
                           {"description", task.batch.description},
                           {"protocol", task.setting->protocol.to_json()},
                           {"compute", name(config_.compute)},
                           {"perplexity", to_json(scores.perplexity)}};
    if (scores.divergence) json["kl"] = to_json(*scores.divergence);
    write_text_file(score_file(cell, task), json.dump(2) + "\n");
  }

  // Both return whether anything had to be computed.
  bool finish_original(const Cell& cell) {
    fs::create_directories(cell.folder);
    bool computed = false;
    for (Task& task : tasks_) {
      if (fs::exists(score_file(cell, task))) continue;
      computed = true;
      if (task.setting->choices) {
        store_choices(cell, task, original_decoder());
        continue;
      }
      const ForwardOptions options = forward_options(task.setting->name);
      store_score(cell, task,
                  task.setting->kl ? score_states(original_decoder(), original_states(task), task.batch, {}, options)
                                   : score_texts(original_decoder(), task.batch, {}, options));
    }
    const nlohmann::json report = {{"bytes", original_.stored_bytes()}, {"parameters", original_.parameters()}};
    write_text_file(cell.folder / "cell.json", report.dump(2) + "\n");
    return computed;
  }

  bool finish_compressed(const Cell& cell) {
    fs::create_directories(cell.folder);
    const fs::path model_folder = cell.folder / "model";
    bool computed = false;
    const auto make_model = [&] {
      if (fs::exists(model_folder) && fs::exists(cell.folder / "cell.json")) return;
      JobPlaces places;
      places.out = model_folder;
      places.replace = true;
      places.unfinished = work_folder(cell);
      places.learned = learned_by(cell);
      places.model_identity = identity_;
      if (cell.job->calibration) {
        places.statistics = archive_of(cell);
        places.costs = config_.output / "costs" / places.statistics.filename();
      }
      const auto start = std::chrono::steady_clock::now();
      const JobOutcome outcome = run_job(*cell.job, original_, places, labelled());
      nlohmann::json json = to_json(outcome);
      json["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (!outcome.calibration.is_null()) json["calibration"] = outcome.calibration;
      json["method"] = cell.method->name;
      json["size"] = cell.size->json;
      json["plan"] = cell.plan;
      write_text_file(cell.folder / "allocation.json",
                      to_json(bit_distribution(open_model(model_folder))).dump(1) + "\n");
      write_text_file(cell.folder / "cell.json", json.dump(2) + "\n");
      outcome.unfinished.clear();
      computed = true;
    };
    if (!fs::exists(cell.folder / "cell.json")) make_model();
    for (Task& task : tasks_) {
      if (fs::exists(score_file(cell, task))) continue;
      make_model();
      computed = true;
      Decoder decoder(open_model(model_folder), config_.compute);
      if (task.setting->choices) {
        store_choices(cell, task, decoder);
        continue;
      }
      const ReferenceStates states = reference(task);
      store_score(cell, task, score_texts(decoder, task.batch, states, forward_options(task.setting->name)));
    }
    if (config_.keep_models) {
      make_model();
    } else {
      fs::remove_all(model_folder);
    }
    return computed;
  }

  ProgressCallback labelled() const {
    return [this](const ProgressEvent& event) {
      ProgressEvent labelled_event = event;
      labelled_event.label = position_ + ": " + event.label;
      progress_(labelled_event);
    };
  }

  // metrics.json and the tables, from the files of all cells that are finished.
  void write_results() {
    nlohmann::json rows = nlohmann::json::array();
    for (const Cell& cell : cells_) {
      if (!fs::exists(cell.folder / "cell.json")) continue;
      const nlohmann::json report = parse_json_file(cell.folder / "cell.json");
      nlohmann::json row = {{"method", cell.method == nullptr ? "original" : cell.method->name},
                            {"size", cell.method == nullptr ? "16 bits" : cell.size->name()},
                            {"cell", cell.folder.filename().string()}};
      const ModelSize size = {report.at("parameters").get<std::uint64_t>(), report.at("bytes").get<std::uint64_t>()};
      row["bytes"] = report.at("bytes");
      row["parameters"] = report.at("parameters");
      row["bits_per_weight"] = size.bits_per_weight();
      row["ratio"] = size.ratio();
      if (report.contains("seconds")) row["seconds"] = report.at("seconds");
      row["scores"] = nlohmann::json::object();
      bool complete = true;
      for (const Task& task : tasks_) {
        complete = complete && fs::exists(score_file(cell, task));
        if (complete) row["scores"][task.setting->name] = parse_json_file(score_file(cell, task));
      }
      if (complete) rows.push_back(row);
    }
    nlohmann::json tasks = nlohmann::json::array();
    for (const Task& task : tasks_) {
      tasks.push_back({{"name", task.setting->name},
                       {"kl", task.setting->kl},
                       {"choices", task.setting->choices.has_value()},
                       {"protocol", task.protocol()},
                       {"key", task.id},
                       {"description", task.description()}});
    }
    result_.metrics = {{"name", config_.name},
                       {"description", config_.description},
                       {"model", config_.model.string()},
                       {"model_hash", identity_},
                       {"config", config_.source},
                       {"tasks", tasks},
                       {"rows", rows}};
    const ResultTable table = experiment_table(result_.metrics);
    result_.table_markdown = to_markdown(table);
    write_text_file(config_.output / "metrics.json", result_.metrics.dump(2) + "\n");
    write_text_file(config_.output / "table.csv", to_csv(table));
    write_text_file(config_.output / "table.md", experiment_heading(result_.metrics) + result_.table_markdown);
  }

  const ExperimentConfig& config_;
  ProgressCallback progress_;
  ModelFolder original_;
  std::string identity_;
  std::optional<FolderLock> lock_;
  std::optional<Decoder> original_decoder_;
  std::vector<Task> tasks_;
  std::vector<Cell> cells_;
  std::map<std::string, Calibration> calibrations_;
  std::string position_;
  ExperimentResult result_;
};

}  // namespace

ExperimentResult run_experiment(const ExperimentConfig& config, const ProgressCallback& progress,
                                const std::function<void(const std::string&)>& announce) {
  return Experiment(config, progress).run(announce);
}

std::string check_experiment(const ExperimentConfig& config) { return Experiment(config, {}).announcement(); }

}  // namespace lcomp
