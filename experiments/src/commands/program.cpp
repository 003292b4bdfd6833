#include "commands/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "commands/command_context.h"
#include "commands/command_help.h"
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

CommandLine program_command_line(CommandContext& context) {
  CommandLine line("lcomp", "lcomp compresses large language models and measures what that costs.", version_text());
  add_run_command(line, context);
  add_compare_command(line, context);
  add_compress_command(line, context);
  add_calibrate_command(line, context);
  add_plot_command(line, context);
  add_report_command(line, context);
  add_quantize_command(line, context);
  add_train_command(line, context);
  add_eval_command(line, context);
  add_inspect_command(line, context);
  add_convert_command(line, context);
  add_generate_command(line, context);
  add_logits_command(line, context);
  add_tokenize_command(line, context);
  add_world_command(line, context);
  return line;
}

void run_command_line(const std::vector<std::string>& words) {
  CommandContext context;
  CommandLine line = program_command_line(context);
  const CommandLineRequest request = line.parse(words, help_width());
  if (context.threads > 0) set_thread_count(static_cast<std::size_t>(context.threads));
  if (request.command != nullptr) {
    request.command->run();
  } else {
    fmt::print("{}", request.text);
  }
  if (std::fflush(stdout) != 0) throw system_error("standard output", "write", errno);
}

}  // namespace

std::vector<CommandDeclaration> declared_commands() {
  CommandContext context;
  return program_command_line(context).declarations();
}

int run_program(int argc, char** argv) {
  install_interrupt_handler();
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit then is an error of write(), told in one line
  std::signal(SIGPIPE, SIG_IGN);

  try {
    run_command_line({argv + std::min(argc, 1), argv + argc});
    return 0;
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
