#pragma once

#include <filesystem>

namespace lcomp {

// A name beside `path` that no other call of this process and no other process on this machine uses:
// ".NAME.PID-COUNT.tmp". A file of that name may exist all the same (from a process of that id that was killed): take
// the next one then.
std::filesystem::path temporary_sibling(const std::filesystem::path& path);

// Whether `name` is one that temporary_sibling() gives for a file named `of`.
bool is_temporary_sibling(const std::filesystem::path& name, const std::filesystem::path& of);

// Makes the names in a folder (empty: the current one) durable, as fsync does for a file's bytes. File systems that
// can't are left alone.
void synchronize_folder(const std::filesystem::path& folder) noexcept;

}  // namespace lcomp
