#include "runner/environment.h"

#include <cblas.h>
#include <hdf5.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <fstream>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <thread>

#include "lcomp/core/parallel.h"
#include "lcomp/version.h"

namespace lcomp {
namespace {

// The value of the first line "KEY : VALUE" (or KEY="VALUE") of a system file; empty when there is none.
std::string line_value(const std::string& path, const std::string& key, char separator) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(key, 0) != 0) continue;
    const auto at = line.find(separator);
    if (at == std::string::npos) continue;
    const auto begin = line.find_first_not_of(" \t\"", at + 1);
    const auto end = line.find_last_not_of(" \t\"");
    return begin == std::string::npos || end < begin ? "" : line.substr(begin, end - begin + 1);
  }
  return {};
}

nlohmann::json instruction_sets() {
  nlohmann::json sets = nlohmann::json::array();
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) sets.push_back("avx2");
  if (__builtin_cpu_supports("fma")) sets.push_back("fma");
  if (__builtin_cpu_supports("avx512f")) sets.push_back("avx512f");
  if (__builtin_cpu_supports("avx512bw")) sets.push_back("avx512bw");
  if (__builtin_cpu_supports("avx512vnni")) sets.push_back("avx512vnni");
  const std::string flags = " " + line_value("/proc/cpuinfo", "flags", ':') + " ";
  for (const char* name : {"avx512_bf16", "amx_bf16", "amx_int8"}) {
    if (flags.find(" " + std::string(name) + " ") != std::string::npos) sets.push_back(name);
  }
#endif
  return sets;
}

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

}  // namespace

nlohmann::json describe_environment() {
  utsname system{};
  uname(&system);
  struct sysinfo memory {};
  sysinfo(&memory);
  return {
      {"cpu", line_value("/proc/cpuinfo", "model name", ':')},
      {"cores", std::thread::hardware_concurrency()},
      {"threads", thread_count()},
      {"instruction_sets", instruction_sets()},
      {"memory_bytes", static_cast<std::uint64_t>(memory.totalram) * memory.mem_unit},
      {"system", line_value("/etc/os-release", "PRETTY_NAME", '=')},
      {"kernel", std::string(system.sysname) + " " + system.release},
      {"compiler", __VERSION__},
      {"openblas", openblas_get_config()},
      {"onednn", onednn_version()},
      {"hdf5",
       std::to_string(H5_VERS_MAJOR) + "." + std::to_string(H5_VERS_MINOR) + "." + std::to_string(H5_VERS_RELEASE)},
      {"lcomp", version()},
      {"git_commit", git_commit()},
  };
}

}  // namespace lcomp
