#include "interrupt_signal.h"

#include <csignal>

namespace lcomp {
namespace {

volatile std::sig_atomic_t requested = 0;  // the one thing a signal handler may touch

extern "C" void on_interrupt(int signal_number) {
  requested = 1;
  std::signal(signal_number, SIG_DFL);
}

}  // namespace

void install_interrupt_handler() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
}

bool interrupt_requested() { return requested != 0; }

}  // namespace lcomp
