#pragma once

namespace lcomp {

// After install_interrupt_handler(), the first SIGINT or SIGTERM only sets a flag, which progress callbacks look at, so
// that the work ends cleanly; a second one ends the process at once.
void install_interrupt_handler();
bool interrupt_requested();

}  // namespace lcomp
