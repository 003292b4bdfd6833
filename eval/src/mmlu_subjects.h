#pragma once

#include <span>
#include <string>
#include <string_view>

namespace lcomp {

struct MmluSubject {
  std::string_view name;      // as in the files' names: "abstract_algebra"
  std::string_view category;  // "STEM", "humanities", "social sciences" or "other"
};

// The 57 subjects in alphabetical order, with the four categories of the benchmark's authors.
// Source: arXiv 2009.03300; categories.py of the hendrycks/test repository.
std::span<const MmluSubject> mmlu_subjects();

// Throws Error that names known subjects of the same beginning when there is none of that name.
const MmluSubject& mmlu_subject(std::string_view name, const std::string& where);

}  // namespace lcomp
