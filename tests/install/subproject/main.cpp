#include <lcomp/lcomp.h>

#include <cstdio>

int main(int argc, char** argv) {
  std::printf("%s\n", lcomp::version_text().c_str());
  if (argc == 3) lcomp::compress(argv[1], "rtn:bits=4", {}, {}, argv[2]);
}
