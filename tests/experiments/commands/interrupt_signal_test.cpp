#include "commands/interrupt_signal.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "quantizers/feedback/float_product.h"
#include "support/matrices.h"

namespace lcomp {
namespace {

// Multiplies for a while under a handler that outlives its first signal.
[[noreturn]] void multiply() {
  install_interrupt_handler();
  struct sigaction action = {};
  sigaction(SIGINT, nullptr, &action);
  action.sa_flags &= ~static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  sigprocmask(SIG_UNBLOCK, &interrupt, nullptr);
  const Matrix a = testing::random_matrix(256, 576, 1), b = testing::random_matrix(576, 576, 2);
  for (int i = 0; i < 200; ++i) {
    Matrix product(256, 576);
    product.fill(0);
    add_product_with_transposed(1, a.view(), b.view(), product.view());
  }
  _exit(interrupt_requested() ? 0 : 1);
}

// The handler must not write where products keep their numbers: some of 200 signals come while one is computed.
TEST(InterruptSignal, ComesDuringAMatrixProduct) {
  sigset_t interrupt, before;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  sigprocmask(SIG_BLOCK, &interrupt, &before);  // until the child has its handler
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) multiply();
  sigprocmask(SIG_SETMASK, &before, nullptr);
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {  // what has ended waits to be asked after: the id stays its own
    kill(child, SIGINT);
    usleep(500);
  }
  ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(InterruptSignal, TheSecondKills) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    install_interrupt_handler();
    std::raise(SIGINT);
    if (!interrupt_requested()) _exit(1);
    std::raise(SIGINT);
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

}  // namespace
}  // namespace lcomp
