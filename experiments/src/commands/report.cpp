#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "commands/command_context.h"
#include "lcomp/io/atomic_file.h"
#include "report/run_report.h"

namespace lcomp {
namespace {

struct ReportOptions {
  std::string run;
  std::string out;
};

void report(const ReportOptions& options, const CommandContext& context) {
  const std::filesystem::path out =
      options.out.empty() ? std::filesystem::path(options.run) / "report.html" : std::filesystem::path(options.out);
  const std::string page = run_report(read_recorded_run(options.run));
  write_text_file(out, page);
  context.print({{"run", options.run}, {"out", out.string()}, {"bytes", page.size()}}, out.string() + "\n");
}

}  // namespace

void add_report_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<ReportOptions>();
  Command& command = add_command(line, context, "report", "Write a finished run as one HTML page",
                                 {"lcomp report runs/quantizers_smollm2"});
  command.argument("RUN", options->run, "folder of lcomp run");
  command.option("--out FILE", options->out, "the page").default_is("RUN/report.html");
  command.action([options, &context] { report(*options, context); });
}

}  // namespace lcomp
