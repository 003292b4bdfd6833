#include "commands/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "commands/command_context.h"
#include "commands/interrupt_signal.h"
#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/version.h"

namespace lcomp {
namespace {

constexpr int kFailure = 1;
constexpr int kUserMistake = 2;
constexpr int kInterrupted = 130;

int report(int exit_code, const std::string& text) {
  std::string line = text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  fmt::print(stderr, "lcomp: {}\n", line);
  return exit_code;
}

// CLI11 says only that a subcommand is missing; the user wants to know what was wrong with the one that was given.
void require_known_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::string known;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == argv[1]) return;
    known += (known.empty() ? "" : ", ") + command->get_name();
  }
  throw Error({argv[1], "no command of this name", "one of " + known, "see lcomp --help"});
}

}  // namespace

int run_program(int argc, char** argv) {
  install_interrupt_handler();
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit then is an error of write(), told in one line
  std::signal(SIGPIPE, SIG_IGN);

  CommandContext context;
  CLI::App app{"lcomp compresses large language models and measures what that costs."};
  app.set_version_flag("--version", version_text());
  app.require_subcommand(1);
  app.footer("lcomp COMMAND --help shows a command's options and examples.");
  app.option_defaults()->always_capture_default(false);
  add_run_command(app, context);
  add_compare_command(app, context);
  add_compress_command(app, context);
  add_calibrate_command(app, context);
  add_plot_command(app, context);
  add_report_command(app, context);
  add_quantize_command(app, context);
  add_train_command(app, context);
  add_eval_command(app, context);
  add_inspect_command(app, context);
  add_convert_command(app, context);
  add_generate_command(app, context);
  add_logits_command(app, context);
  add_tokenize_command(app, context);
  add_world_command(app, context);
  app.parse_complete_callback([&context] {
    if (context.threads > 0) set_thread_count(static_cast<std::size_t>(context.threads));
  });

  try {
    require_known_command(app, argc, argv);
    app.parse(argc, argv);
    if (std::fflush(stdout) != 0) throw system_error("standard output", "write", errno);
    return 0;
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    return report(kUserMistake, fmt::format("{}; see lcomp --help", error.what()));
  } catch (const Error& error) {
    return report(error.kind() == ErrorKind::user ? kUserMistake : kFailure, error.what());
  } catch (const Interrupted&) {
    return report(kInterrupted, "interrupted; what was finished is kept");
  } catch (const std::bad_alloc&) {
    return report(kFailure, "out of memory");
  } catch (const std::exception& error) {
    return report(kFailure, fmt::format("internal error: {}", error.what()));
  }
}

}  // namespace lcomp
