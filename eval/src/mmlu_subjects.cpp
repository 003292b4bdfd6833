#include "mmlu_subjects.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lcomp/core/error.h"

namespace lcomp {
namespace {

constexpr std::string_view stem = "STEM", humanities = "humanities", social = "social sciences", other = "other";

constexpr std::array<MmluSubject, 57> subjects = {{
    {"abstract_algebra", stem},
    {"anatomy", stem},
    {"astronomy", stem},
    {"business_ethics", other},
    {"clinical_knowledge", other},
    {"college_biology", stem},
    {"college_chemistry", stem},
    {"college_computer_science", stem},
    {"college_mathematics", stem},
    {"college_medicine", other},
    {"college_physics", stem},
    {"computer_security", stem},
    {"conceptual_physics", stem},
    {"econometrics", social},
    {"electrical_engineering", stem},
    {"elementary_mathematics", stem},
    {"formal_logic", humanities},
    {"global_facts", other},
    {"high_school_biology", stem},
    {"high_school_chemistry", stem},
    {"high_school_computer_science", stem},
    {"high_school_european_history", humanities},
    {"high_school_geography", social},
    {"high_school_government_and_politics", social},
    {"high_school_macroeconomics", social},
    {"high_school_mathematics", stem},
    {"high_school_microeconomics", social},
    {"high_school_physics", stem},
    {"high_school_psychology", social},
    {"high_school_statistics", stem},
    {"high_school_us_history", humanities},
    {"high_school_world_history", humanities},
    {"human_aging", other},
    {"human_sexuality", social},
    {"international_law", humanities},
    {"jurisprudence", humanities},
    {"logical_fallacies", humanities},
    {"machine_learning", stem},
    {"management", other},
    {"marketing", other},
    {"medical_genetics", other},
    {"miscellaneous", other},
    {"moral_disputes", humanities},
    {"moral_scenarios", humanities},
    {"nutrition", other},
    {"philosophy", humanities},
    {"prehistory", humanities},
    {"professional_accounting", other},
    {"professional_law", humanities},
    {"professional_medicine", other},
    {"professional_psychology", social},
    {"public_relations", social},
    {"security_studies", social},
    {"sociology", social},
    {"us_foreign_policy", social},
    {"virology", other},
    {"world_religions", humanities},
}};

}  // namespace

std::span<const MmluSubject> mmlu_subjects() { return subjects; }

const MmluSubject& mmlu_subject(std::string_view name, const std::string& where) {
  const auto found =
      std::find_if(subjects.begin(), subjects.end(), [&](const MmluSubject& s) { return s.name == name; });
  if (found != subjects.end()) return *found;
  std::string near;  // those that share the first letters
  const auto head = name.substr(0, 3);
  for (const MmluSubject& s : subjects) {
    if (s.name.starts_with(head)) near += (near.empty() ? "" : ", ") + std::string(s.name);
  }
  throw Error(
      {where, fmt::format("the unknown subject \"{}\"", name), "one of the 57 subjects of MMLU",
       near.empty() ? "names are as in the files of the published set, such as abstract_algebra" : "near it: " + near});
}

}  // namespace lcomp
