#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "report/result_table.h"

namespace lcomp {

// Results table of an experiment from its metrics.json: one row for the uncompressed model and one per method and size,
// with bytes, bits per weight and compression ratio, then the columns of each task.
ResultTable experiment_table(const nlohmann::json& metrics);

// Text above the table in table.md: name and description of the experiment, the model, and a description of each task.
std::string experiment_heading(const nlohmann::json& metrics);

// "NAME: description" of a task, or the description alone where it begins with the name.
std::string task_line(const std::string& name, const std::string& description);

}  // namespace lcomp
