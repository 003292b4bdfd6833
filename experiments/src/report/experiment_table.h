#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "report/result_table.h"

namespace lcomp {

// The table of an experiment from its metrics.json: a row for the original and one for each method and size, with
// bytes, bits per weight and ratio, then the columns of each task.
ResultTable experiment_table(const nlohmann::json& metrics);

// What stands above the table in table.md: the experiment's name and description, the model, and what each task scored.
std::string experiment_heading(const nlohmann::json& metrics);

// "NAME: description" of a task, or the description alone where it begins with the name.
std::string task_line(const std::string& name, const std::string& description);

}  // namespace lcomp
