#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "commands/command_context.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "report/gnuplot_figure.h"
#include "report/run_figures.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;

struct PlotOptions {
  std::string run;
  std::string out;
};

void plot(const PlotOptions& options, const CommandContext& context) {
  const RecordedRun run = read_recorded_run(options.run);
  const RunFigures figures = run_figures(run);
  const fs::path out = options.out.empty() ? fs::path(options.run) / "plots" : fs::path(options.out);
  std::error_code failure;
  fs::create_directories(out, failure);
  if (failure) throw system_error(out.string(), "make the folder", failure.value());

  const bool drawn = gnuplot_is_installed();
  nlohmann::json json = {{"run", options.run}, {"out", out.string()}, {"drawn", drawn}, {"notes", figures.notes}};
  json["figures"] = nlohmann::json::array();
  std::string text;
  for (const auto* kind : {&figures.losses, &figures.categories, &figures.bits, &figures.learning}) {
    for (const Figure& figure : *kind) {
      write_text_file(out / (figure.name + ".csv"), to_csv(figure_table(figure)));
      if (drawn) {
        run_gnuplot(gnuplot_script(figure, PictureFormat::svg, (out / (figure.name + ".svg")).string()));
        run_gnuplot(gnuplot_script(figure, PictureFormat::png, (out / (figure.name + ".png")).string()));
      }
      json["figures"].push_back(figure.name);
      text += fmt::format("{}{}\n", (out / figure.name).string(), drawn ? " .svg .png .csv" : " .csv");
    }
  }
  for (const std::string& note : figures.notes) fmt::print(stderr, "lcomp: {}\n", note);
  if (!drawn) {
    fmt::print(stderr, "lcomp: gnuplot is not installed: the numbers are written, no pictures; install gnuplot-nox\n");
  }
  context.print(json, text);
}

}  // namespace

void add_plot_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<PlotOptions>();
  Command& command =
      add_command(line, context, "plot", "Draw a finished run with gnuplot, as SVG and PNG",
                  {"lcomp plot runs/quantizers_smollm2", "lcomp plot runs/quantizers_smollm2 --out pictures"});
  command.argument("RUN", options->run, "folder of lcomp run");
  command.option("--out FOLDER", options->out, "folder for the pictures and their numbers").default_is("RUN/plots");
  command.action([options, &context] { plot(*options, context); });
}

}  // namespace lcomp
