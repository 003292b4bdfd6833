#include "commands/interrupt_signal.h"

#include <csignal>
#include <cstddef>

namespace lcomp {
namespace {

volatile std::sig_atomic_t requested = 0;  // the one thing a signal handler may touch

extern "C" void on_interrupt(int) { requested = 1; }

// oneDNN's matrix products up to 3.11 keep a pointer into the heap in the stack register (its issue 4845), where the
// kernel would write the processor's state for a handler: it gets a stack of its own. Signals to the process come to
// the main thread.
void give_handlers_a_stack() {
  constexpr std::size_t size = 256 << 10;  // AMX alone has 8 KiB of state
  alignas(64) static std::byte memory[size];
  stack_t known = {};
  if (sigaltstack(nullptr, &known) == 0 && (known.ss_flags & SS_DISABLE) == 0) return;  // a sanitizer's
  stack_t stack = {};
  stack.ss_sp = memory;
  stack.ss_size = size;
  sigaltstack(&stack, nullptr);
}

}  // namespace

void install_interrupt_handler() {
  give_handlers_a_stack();
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_ONSTACK | SA_RESTART | SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupt_requested() { return requested != 0; }

}  // namespace lcomp
