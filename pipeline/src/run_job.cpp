#include "lcomp/pipeline/run_job.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <utility>

#include "lcomp/calibration/calibration_archive.h"
#include "lcomp/calibration/calibration_key.h"
#include "lcomp/calibration/compression_statistics.h"
#include "lcomp/compression/learned_allocation.h"
#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/forward/compute_type.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/models/model_components.h"
#include "lcomp/models/model_identity.h"
#include "lcomp/version.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

fs::path work_folder(const JobPlaces& places) {
  return places.unfinished.empty() ? unfinished_folder(places.out) : places.unfinished;
}

// The sizes of a report, of a model whose tensors were stored anew.
void set_sizes(CompressionReport& report, const ModelFolder& model) {
  std::map<std::string, std::uint64_t> bytes;
  for (const TensorInfo& info : model.tensors->tensors()) bytes[component_name(info.name)] = info.stored_bytes;
  for (ComponentReport& line : report.components) {
    line.bytes = bytes.at(line.name);
    line.bits_per_weight = ModelSize{line.parameters, line.bytes}.bits_per_weight();
  }
  report.set_size({report.parameters, model.stored_bytes()});
}

// One job at work.
class JobRun {
 public:
  JobRun(const CompressionJob& job, const ModelFolder& model, const JobPlaces& places, const ProgressCallback& progress)
      : job_(job), model_(model), places_(places), progress_(progress), learned_(places.learned) {}

  JobOutcome run() {
    if (!places_.replace && fs::exists(places_.out)) {  // found out before the work
      throw Error({places_.out.string(), "a model that exists already", "", "choose another name, or use --replace"});
    }
    open_statistics();
    if (job_.learns() || job_.tuning || has_statistics(statistics_)) claim();
    CompressOptions options;
    options.replace = places_.replace;
    options.statistics = statistics_;
    options.work = work_;
    options.costs = costs_;
    JobOutcome outcome = job_.tuning ? compress_and_tune(options) : compress(job_, places_.out, options);
    if (const auto known = in_order(statistics_)) outcome.calibration = known->description();
    outcome.recalibrations = job_.recalibrations;
    outcome.unfinished = work_;
    return outcome;
  }

 private:
  // Statistics for the plan, and the key of all that decides them. None where it needs none, or can do without and
  // there is no calibration data; compress_model() says which component lacks them.
  void open_statistics() {
    if (!job_.uses_calibration()) return;
    if (job_.statistics) {
      CalibrationArchive archive = CalibrationArchive::open(job_.statistics->folder);
      const std::optional<SensitivityCost> cost = cost_of(*job_.statistics, archive);
      statistics_key_ = archive.key().text();
      if (cost) statistics_key_.append(" ").append(name(*cost));
      if (!job_.statistics->measured.empty()) measured_ = open_model(job_.statistics->measured);
      statistics_ = archived_statistics(model_, std::move(archive), cost, measured_ ? &*measured_ : nullptr);
      return;
    }
    if (!job_.calibration) return;
    texts_ = calibration_texts(*job_.calibration, model_);
    statistics_key_ =
        fmt::format("{}; {}; {}", hash_tokens(texts_->batch), describe(*job_.calibration), name(job_.compute));
    StatisticsPlaces kept;
    Hasher hasher;
    hasher.update(statistics_key_);
    const fs::path own = work_folder(places_) / "statistics" / hasher.hex().substr(0, 16);
    kept.archive = places_.statistics.empty() ? own : places_.statistics;
    kept.work = work_of_job().part("stream");
    calibrates_meanwhile_ = job_.calibration->order != CalibrationSetting::Order::original;
    statistics_ = make_statistics(*job_.calibration, *texts_, model_, job_.compute, kept, progress_);
  }

  // What decides the result beside the job's own setting.
  std::string inputs_key() {
    if (identity_.empty()) identity_ = places_.model_identity.empty() ? model_identity(model_) : places_.model_identity;
    return fmt::format("lcomp {}; model {}; {}", version(), identity_, statistics_key_);
  }

  Workspace work_of_job() {
    const std::string setting =
        fmt::format("{}\n{}\n{}\n{}\n{} recalibrations, {}", to_json(job_.plan).dump(),
                    job_.calibration ? describe(*job_.calibration) : "", job_.learning ? describe(*job_.learning) : "",
                    job_.tuning ? describe(*job_.tuning) : "", job_.recalibrations, name(job_.compute));
    return {work_folder(places_), inputs_key() + "\n" + setting,
            places_.replace ? OtherWork::discard : OtherWork::refuse};
  }

  // Makes sure that the unfinished work is of this job. Statistics and costs serve other jobs too, and have keys of
  // their own.
  void claim() {
    work_ = work_of_job();
    work_.claim({"statistics", "costs"});
    const fs::path costs = places_.costs.empty() ? work_.folder() / "costs" : places_.costs;
    costs_ = Workspace(costs, inputs_key(), OtherWork::discard);
  }

  // One progress bar at a time: calibration as compression goes has its own.
  ProgressCallback progress() const { return calibrates_meanwhile_ ? ProgressCallback() : progress_; }

  JobOutcome compress_once(const CompressionJob& job, const fs::path& out, const CompressOptions& options) {
    JobOutcome outcome;
    if (!job.learns()) {
      outcome.report = compress_model(model_, job.plan, out, options, progress());
      return outcome;
    }
    if (!learned_.empty() && fs::exists(learned_)) {
      const nlohmann::json known = parse_json_file(learned_);
      const auto plan = CompressionPlan::from_json(known.at("plan"), learned_.string());
      CompressOptions recorded = options;
      recorded.record["learning"] = known.at("learning");
      recorded.record["learning"]["texts"] = known.at("texts");
      outcome.report = compress_model(model_, plan, out, recorded, progress());
      outcome.learning = known.at("learning");
      return outcome;
    }
    const LearningOptions learning = make_learning(*job.learning, model_, job.compute, progress());
    const LearnedCompression learned = compress_learned(model_, job.plan, out, options, learning, progress());
    outcome.report = learned.report;
    outcome.learning = {{"rounds", to_json(learned.rounds)}, {"round", learned.best}};
    if (!learned_.empty()) {
      fs::create_directories(learned_.parent_path());
      const nlohmann::json known = {
          {"plan", to_json(learned.plan)}, {"learning", outcome.learning}, {"texts", learning.description}};
      write_text_file(learned_, known.dump(1) + "\n");
    }
    return outcome;
  }

  // With the compressions that come before, each on statistics of the one before.
  JobOutcome compress(const CompressionJob& job, const fs::path& out, const CompressOptions& options) {
    if (job.recalibrations == 0) return compress_once(job, out, options);
    if (!texts_) texts_ = calibration_texts(*job.calibration, model_);
    CompressionJob earlier = job;
    earlier.plan.allocation.learned = false;
    CompressOptions pass = options;
    for (int i = 0; i < job.recalibrations; ++i) {
      const Workspace place = options.work.part(fmt::format("pass{}", i));
      const fs::path model_of_pass = place.folder() / "model";
      pass.replace = true;
      pass.work = place.part("compression").begun_anew();
      if (!fs::exists(model_of_pass)) {
        compress_once(earlier, model_of_pass, pass);
        pass.work.clear();
      }
      const ModelFolder measured = open_model(model_of_pass);
      pass.statistics = make_statistics(*job.calibration, *texts_, model_, job.compute,
                                        {place.folder() / "statistics", {}}, progress_, &measured);
      pass.costs = Workspace();
      if (i > 0) options.work.part(fmt::format("pass{}/statistics", i - 1)).clear();
    }
    pass.replace = options.replace;
    pass.work = options.work.part("last");
    return compress_once(job, out, pass);
  }

  // The compression, kept in the unfinished work under `name` with so many bytes of the target left free.
  JobOutcome compress_into(const std::string& name, std::uint64_t reserved_bytes) {
    const fs::path folder = work_.folder() / name, file = work_.folder() / (name + ".json");
    JobOutcome outcome;
    if (fs::exists(file) && fs::exists(folder)) {
      const nlohmann::json known = parse_json_file(file);
      outcome.report = compression_report_from_json(known, file.string());
      outcome.learning = known.value("learning", nlohmann::json());
      return outcome;
    }
    CompressOptions options;
    options.replace = true;
    options.statistics = statistics_;
    options.work = work_.part("compression");
    options.costs = costs_;
    options.reserved_bytes = reserved_bytes;
    outcome = compress(job_, folder, options);
    write_text_file(file, to_json(outcome).dump() + "\n");
    // What the other compression begins with stays: the passes before have the same bytes.
    (job_.recalibrations == 0 ? options.work : options.work.part("last")).clear();
    return outcome;
  }

  JobOutcome compress_and_tune(const CompressOptions& options) {
    if (learned_.empty()) learned_ = work_.folder() / "learned.json";  // once
    const std::optional<CompressionTarget>& target = job_.plan.target;
    JobOutcome outcome = compress_into("untuned", target ? expected_tuning_bytes(model_) : 0);
    JobOutcome again;
    TuningOptions tuning = make_tuning(*job_.tuning, model_, job_.compute, progress());
    if (target) tuning.budget = target->budget(model_.parameters());
    // Statistics that come with the compressed blocks are gone.
    if (!std::holds_alternative<std::shared_ptr<SequentialStatistics>>(options.statistics)) {
      tuning.compress_again = [&](std::uint64_t reserved_bytes) {
        again = compress_into("again", reserved_bytes);
        return open_model(work_.folder() / "again");
      };
    }
    tuning.replace = options.replace;
    tuning.work = work_.part("tuning");
    const TuningReport tuned = tune_model(open_model(work_.folder() / "untuned"), places_.out, tuning, progress());
    if (tuned.recompressed) outcome = std::move(again);
    set_sizes(outcome.report, open_model(places_.out));
    outcome.tuning = tuned;
    return outcome;
  }

  const CompressionJob& job_;
  const ModelFolder& model_;
  const JobPlaces& places_;
  ProgressCallback progress_;
  std::optional<CalibrationTexts> texts_;
  std::optional<ModelFolder> measured_;
  StatisticsSource statistics_;
  std::string statistics_key_, identity_;
  bool calibrates_meanwhile_ = false;
  Workspace work_, costs_;
  fs::path learned_;  // empty: nowhere
};

}  // namespace

fs::path unfinished_folder(const fs::path& out) {
  fs::path folder = out.lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  return folder.string() + ".unfinished";
}

nlohmann::json to_json(const JobOutcome& outcome) {
  nlohmann::json json = to_json(outcome.report);
  if (!outcome.learning.is_null()) json["learning"] = outcome.learning;
  if (outcome.recalibrations > 0) json["recalibrations"] = outcome.recalibrations;
  if (outcome.tuning) json["repair"] = to_json(*outcome.tuning);
  return json;
}

JobOutcome run_job(const CompressionJob& job, const ModelFolder& model, const JobPlaces& places,
                   const ProgressCallback& progress) {
  return JobRun(job, model, places, progress).run();
}

}  // namespace lcomp
