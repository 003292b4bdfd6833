// Figures of a run, what draws them, and the page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "experiments/command_line.h"
#include "experiments/recorded_experiment.h"
#include "lcomp/core/error.h"
#include "report/gnuplot_figure.h"
#include "report/run_figures.h"
#include "report/run_report.h"
#include "report/svg_figure.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::recorded_metrics;
using testing::run_lcomp;
using testing::write_record;

nlohmann::json component(const std::string& role, const nlohmann::json& layer, double bits,
                         const nlohmann::json& rows) {
  return {{"name", role + layer.dump()},
          {"role", role},
          {"layer", layer},
          {"rows", 4},
          {"cols", 16},
          {"bytes", static_cast<int>(8 * bits)},
          {"bits_per_weight", bits},
          {"rows_by_bits", rows},
          {"columns_by_bits", {{"4.00", 16}}}};
}

struct RunPictures : ::testing::Test {
  testing::TemporaryFolder folder;
  fs::path run_folder = write_record(folder / "run", recorded_metrics("one <two> & \"three\""));

  void SetUp() override {
    for (const char* cell : {"a-4 bits", "a-2 bits"}) {
      fs::create_directories(run_folder / "cells" / cell);
      const nlohmann::json allocation = {
          {"bin_width", 0.25},
          {"components",
           {component("embedding", nullptr, 4, {{"4.00", 4}}), component("q", 0, 2, {{"2.00", 2}, {"2.25", 2}}),
            component("q", 1, 4, {{"4.00", 4}})}}};
      write_text_file(run_folder / "cells" / cell / "allocation.json", allocation.dump());
    }
  }
  RecordedRun run() const { return read_recorded_run(run_folder); }
};

TEST_F(RunPictures, LossesHaveAPointAModelAndTheOriginalAsALine) {
  const RunFigures figures = run_figures(run());
  ASSERT_EQ(figures.losses.size(), 2u);  // perplexity, KL
  const FigurePanel& panel = figures.losses[0].panels.at(0);
  ASSERT_EQ(panel.series.size(), 3u);
  ASSERT_EQ(panel.series[0].points.size(), 2u);
  EXPECT_LT(panel.series[0].points[0].x, panel.series[0].points[1].x);
  EXPECT_DOUBLE_EQ(panel.series[0].points[0].x, 300e-6);
  EXPECT_TRUE(panel.reference.has_value());
  EXPECT_FALSE(figures.losses[1].panels.at(0).reference.has_value()) << "the original's divergence is 0";
  const ResultTable table = figure_table(figures.losses[0]);
  EXPECT_EQ(table.rows.size(), 5u);
  EXPECT_THAT(figures.notes, ::testing::Contains(HasSubstr("c | x, 4 bits")));
}

TEST_F(RunPictures, BitsAreThoseOfTheRecord) {
  const RunFigures figures = run_figures(run());
  ASSERT_EQ(figures.bits.size(), 1u);
  const Figure& figure = figures.bits[0];
  EXPECT_EQ(figure.columns, 2u);  // two sizes
  ASSERT_EQ(figure.panels.size(), 6u);
  const FigurePanel& map = figure.panels[0];
  ASSERT_EQ(map.series.size(), 2u);
  EXPECT_EQ(map.series[0].name, "embedding");
  EXPECT_DOUBLE_EQ(map.series[0].points.at(0).half_width, 1) << "along both layers";
  EXPECT_DOUBLE_EQ(map.series[1].points.at(0).y, 2);
  EXPECT_DOUBLE_EQ(map.series[1].points.at(1).y, 4);
  const FigurePanel& rows = figure.panels[4];
  // q has 128 of 192 weights; two of its rows of layer 0, a sixth of all weights, have 2.25 bits.
  ASSERT_EQ(rows.series[1].points.size(), 3u);
  EXPECT_NEAR(rows.series[1].points[1].y, 100.0 / 6, 1e-9);
  EXPECT_DOUBLE_EQ(rows.series[1].points[1].x, 2.375);
}

TEST_F(RunPictures, ThePageIsWholeAndItsTextEscaped) {
  const std::string page = run_report(run());
  EXPECT_THAT(page, AllOf(HasSubstr("one &lt;two&gt; &amp; &quot;three&quot;"), Not(HasSubstr("one <two>"))));
  EXPECT_THAT(page,
              AllOf(HasSubstr("<svg viewBox"), HasSubstr("class=\"sortable\""), HasSubstr("prefers-color-scheme: dark"),
                    HasSubstr("width=device-width"), HasSubstr("data-note=\"q, layer 0: 2.00 bits\"")));
  for (const char* outside : {"http:", "https:", "src=", "<link", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  for (const char* element : {"table", "svg", "figure", "details", "div", "script", "style", "ul"}) {
    const auto count = [&](const std::string& part) {
      std::size_t found = 0;
      for (auto at = page.find(part); at != std::string::npos; at = page.find(part, at + 1)) ++found;
      return found;
    };
    const std::string name = element;
    EXPECT_EQ(count("<" + name + ">") + count("<" + name + " "), count("</" + name + ">")) << name;
  }
}

TEST_F(RunPictures, GnuplotDrawsEveryFigure) {
  if (!gnuplot_is_installed()) GTEST_SKIP() << "gnuplot is not installed (gnuplot-nox)";
  const RunFigures figures = run_figures(run());
  Figure quoted = figures.losses[0];
  quoted.title = "it's `date` \"quoted\"\n$x";
  for (const Figure& figure : {quoted, figures.bits[0]}) {
    const fs::path svg = folder / "a picture's.svg", png = folder / "picture.png";
    run_gnuplot(gnuplot_script(figure, PictureFormat::svg, svg.string()));
    run_gnuplot(gnuplot_script(figure, PictureFormat::png, png.string()));
    EXPECT_THAT(read_text_file(svg), HasSubstr("</svg>"));
    EXPECT_EQ(read_text_file(png).substr(1, 3), "PNG");
  }
  EXPECT_THROW(run_gnuplot("plot nonsense(\n"), Error);
}

TEST_F(RunPictures, WithoutGnuplotTheNumbersAreWritten) {
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  const auto result = run_lcomp({"plot", run_folder.string(), "--json"});
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out).at("drawn"), false);
  EXPECT_THAT(result.err, HasSubstr("gnuplot is not installed"));
  EXPECT_TRUE(fs::exists(run_folder / "plots/kl_text.csv"));
  EXPECT_FALSE(fs::exists(run_folder / "plots/kl_text.svg"));
}

TEST_F(RunPictures, ReportRefusesADamagedRecordInOneLine) {
  const auto result = run_lcomp({"report", run_folder.string()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(fs::exists(run_folder / "report.html"));
  write_text_file(run_folder / "cells/a-4 bits/allocation.json", "{\"components\": [1]}");
  const auto refused = run_lcomp({"report", run_folder.string()});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("allocation.json"));
}

TEST(SvgPanel, PutsPointsWhereTheAxesSay) {
  FigurePanel panel;
  panel.x_low = 0;
  panel.x_high = 10;
  panel.y_low = 1;
  panel.y_high = 100;
  panel.log_y = true;
  panel.series = {{"a", 0, {{5, 10, 0, 0.5, "middle"}}}};
  // x: 70 .. 426, y: 252 .. 30; (5, 10) is in the middle of both.
  EXPECT_THAT(svg_panel(panel), HasSubstr("cx=\"248.0\" cy=\"141.0\""));
}

}  // namespace
}  // namespace lcomp
