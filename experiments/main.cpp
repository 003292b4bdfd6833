#include "commands/program.h"

int main(int argc, char** argv) { return lcomp::run_program(argc, argv); }
