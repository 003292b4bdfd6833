#include "report/result_table.h"

#include <gtest/gtest.h>

#include "report/experiment_table.h"

namespace lcomp {
namespace {

TEST(ResultTable, MarkdownIsAlignedAndEscaped) {
  const ResultTable table{{"name", "value"}, {false, true}, {{"a|b", "1.5"}, {"long name", "22"}}};
  EXPECT_EQ(to_markdown(table),
            "| name      | value |\n"
            "|-----------|------:|\n"
            "| a\\|b      |   1.5 |\n"
            "| long name |    22 |\n");
}

TEST(ResultTable, CsvQuotesWhatNeedsIt) {
  const ResultTable table{{"name", "value"}, {false, true}, {{"a,b", "1"}, {"say \"x\"", "2"}}};
  EXPECT_EQ(to_csv(table), "name,value\n\"a,b\",1\n\"say \"\"x\"\"\",2\n");
}

TEST(ResultTable, LatexIsEscapedAndTheBestBold) {
  ResultTable table{{"name", "value"}, {false, true}, {{"a_b & c", "1 %"}, {"x^2", "2"}}};
  table.strong = {{false, true}, {false, false}};
  EXPECT_EQ(to_latex(table, "50 %"),
            "\\begin{table}\n\\caption{50 \\%}\n\\begin{tabular}{lr}\n\\toprule\nname & value \\\\\n\\midrule\n"
            "a\\_b \\& c & \\textbf{1 \\%} \\\\\nx\\textasciicircum{}2 & 2 \\\\\n\\bottomrule\n\\end{tabular}\n"
            "\\end{table}\n");
  EXPECT_EQ(to_markdown(table),
            "| name    |   value |\n|---------|--------:|\n| a_b & c | **1 %** |\n| x^2     |       2 |\n");
}

TEST(ExperimentTable, OneRowACellAndDashesForTheOriginal) {
  const nlohmann::json kl = {{"kl_mean", 0.25}, {"kl_median", 0.125}, {"kl_p99", 2.0}, {"top1_agreement", 0.875}};
  const nlohmann::json metrics = {
      {"tasks", {{{"name", "wikitext2"}, {"kl", true}}}},
      {"rows",
       {{{"method", "original"},
         {"size", "16 bits"},
         {"bytes", 200},
         {"bits_per_weight", 16.0},
         {"ratio", 1.0},
         {"scores", {{"wikitext2", {{"perplexity", {{"perplexity", 20.0}}}}}}}},
        {{"method", "rtn"},
         {"size", "2 bits"},
         {"bytes", 25},
         {"bits_per_weight", 2.0},
         {"ratio", 8.0},
         {"seconds", 90.0},
         {"scores", {{"wikitext2", {{"perplexity", {{"perplexity", 1.5e10}}}, {"kl", kl}}}}}}}}};
  const ResultTable table = experiment_table(metrics);
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"original", "16 bits", "200", "16.000", "1.00", "20.00", "-", "-",
                                                     "-", "-", "-"}));
  EXPECT_EQ(table.rows[1], (std::vector<std::string>{"rtn", "2 bits", "25", "2.000", "8.00", "1.50e+10", "0.2500",
                                                     "0.1250", "2.0000", "87.5 %", "1.5"}));
  EXPECT_EQ(table.columns.size(), table.rows[0].size());
}

}  // namespace
}  // namespace lcomp
