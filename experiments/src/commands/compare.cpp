#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "commands/command_context.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "report/run_comparison.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

struct CompareOptions {
  std::vector<std::string> runs;
  std::string out;
  double within = 5;
};

void compare(const CompareOptions& options, const CommandContext& context) {
  std::vector<RecordedRun> runs;
  for (const std::string& folder : options.runs) {
    runs.push_back(read_recorded_run(folder));
    for (std::size_t other = 0; other + 1 < runs.size(); ++other) {
      if (runs[other].name == runs.back().name) runs.back().name = folder;
    }
  }
  const RunComparison comparison = compare_runs(runs, options.within / 100);
  const std::string markdown = comparison_markdown(comparison);
  nlohmann::json json = to_json(comparison);
  json["runs"] = options.runs;
  json["within_percent"] = options.within;
  if (!options.out.empty()) {
    const fs::path out = options.out;
    std::error_code failure;
    fs::create_directories(out, failure);
    if (failure) throw system_error(options.out, "make the folder", failure.value());
    write_text_file(out / "comparison.md", markdown);
    write_text_file(out / "comparison.csv", comparison_csv(comparison));
    write_text_file(out / "comparison.tex", comparison_latex(comparison));
    write_text_file(out / "comparison.json", json.dump(2) + "\n");
  }
  context.print(json, markdown);
}

}  // namespace

void add_compare_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<CompareOptions>();
  Command& command = add_command(
      line, context, "compare", "Put finished runs side by side at equal bytes, with significance",
      {"lcomp compare runs/quantizers_smollm2", "lcomp compare runs/first runs/second --out runs/comparison"});
  command.argument("RUN", options->runs, "folders of lcomp run");
  command.option("--out FOLDER", options->out, "write comparison.md, .csv, .tex and .json here");
  command
      .option("--within PERCENT", options->within,
              "models are side by side when their sizes differ by at most so many percent")
      .between(0, 100);
  command.action([options, &context] { compare(*options, context); });
}

}  // namespace lcomp
