#include "lcomp/world/write_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "evaluation_questions.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/world/world_texts.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw system_error(folder.string(), "making the folder", error.value());
}

// Files of a folder that is being written.
class WorldFiles {
 public:
  WorldFiles(fs::path folder, WorldSummary& summary) : folder_(std::move(folder)), summary_(summary) {}

  // Writes what write(file) does.
  template <typename Write>
  void write(const std::string& name, const Write& write_to) {
    const fs::path path = folder_ / name;
    make_folder(path.parent_path());
    AtomicFile file(path);
    write_to(file);
    summary_.files.emplace_back(name, file.bytes_written());
    file.commit();
  }
  void write_text(const std::string& name, const std::string& text) {
    write(name, [&](AtomicFile& file) { file.write(text); });
  }

 private:
  fs::path folder_;
  WorldSummary& summary_;
};

nlohmann::json description(const World& world, const WorldConfig& config) {
  nlohmann::json facts = nlohmann::json::array();
  for (const Fact& fact : world.facts) {
    const Relation& relation = world.relations[fact.relation];
    facts.push_back({{"subject", relation.subject},
                     {"relation", relation.name},
                     {"entity", fact.entity},
                     {"object", fact.object},
                     {"held_out", fact.held_out}});
  }
  return {{"config", to_json(config)}, {"facts", std::move(facts)}};
}

nlohmann::json json_of(const WeightedText& text) {
  if (text.size() == 1 && text[0].second == 1) return {{"text", text[0].first}};
  nlohmann::json parts = nlohmann::json::array();
  for (const auto& [piece, weight] : text) parts.push_back(nlohmann::json::array({piece, weight}));
  return {{"parts", std::move(parts)}};
}

std::size_t lines_of(const WorldConfig& config, const TextKind& kind) {
  switch (kind.form) {
    case TextKind::Form::facts:
      return config.lines.facts;
    case TextKind::Form::open:
      return config.lines.open;
    case TextKind::Form::stated:
      return config.lines.stated;
    case TextKind::Form::shots:
      return config.lines.shots;
  }
  return 0;
}

void write_evaluation(const World& world, const WorldConfig& config, bool held_out, const Rng& rng, WorldFiles& files) {
  const std::string folder = held_out ? "eval/held_out/mmlu/" : "eval/trained/mmlu/";
  std::string subjects;
  for (const SubjectQuestions& set : evaluation_questions(world, held_out, config.asked, rng)) {
    subjects += set.subject + ",world\n";
    std::string test, dev;
    for (const ChoiceQuestion& question : set.test) test += csv_line(question);
    for (const ChoiceQuestion& question : set.dev) dev += csv_line(question);
    files.write_text(fmt::format("{}test/{}_test.csv", folder, set.subject), test);
    files.write_text(fmt::format("{}dev/{}_dev.csv", folder, set.subject), dev);
  }
  if (!subjects.empty()) files.write_text(folder + "subjects.csv", subjects);
}

}  // namespace

WorldSummary write_world(const WorldConfig& config, const fs::path& folder, bool replace,
                         const ProgressCallback& progress) {
  const World world = make_world(config);
  const Rng rng = Rng(config.seed).split("texts");
  WorldSummary summary;
  summary.facts = world.facts.size();
  summary.held_out_facts = static_cast<std::size_t>(
      std::count_if(world.facts.begin(), world.facts.end(), [](const Fact& fact) { return fact.held_out; }));

  AtomicFolder output(folder, replace);
  WorldFiles files(output.path(), summary);
  files.write_text("world.json", description(world, config).dump(1) + "\n");

  std::size_t total = 0;
  for (const TextKind& kind : text_kinds()) total += lines_of(config, kind);
  Progress written(progress, "texts", total);
  for (const TextKind& kind : text_kinds()) {
    const std::size_t lines = lines_of(config, kind);
    if (lines == 0) continue;
    files.write("train/" + kind.name() + ".jsonl", [&](AtomicFile& file) {
      Rng stream = rng.split(kind.name());
      for (std::size_t i = 0; i < lines; ++i) {
        file.write(json_of(make_text(world, config, kind, stream)).dump() + "\n");
        written.advance();
      }
    });
  }

  write_evaluation(world, config, false, rng, files);
  write_evaluation(world, config, true, rng, files);
  files.write("eval/text.txt", [&](AtomicFile& file) {
    Rng stream = rng.split("held-out text");
    for (std::size_t i = 0; i < config.held_out_texts; ++i) file.write(mixed_paragraph(world, config, stream) + "\n");
  });
  files.write("calibration.jsonl", [&](AtomicFile& file) {
    Rng stream = rng.split("calibration");
    const TextKind prompt{TextKind::Form::shots, 5};
    for (std::size_t i = 0; i < config.calibration_texts; ++i) {
      const std::string text =
          i % 2 == 0 ? mixed_paragraph(world, config, stream) : joined(make_text(world, config, prompt, stream));
      file.write(nlohmann::json{{"text", text}}.dump() + "\n");
    }
  });
  output.commit();
  return summary;
}

}  // namespace lcomp
