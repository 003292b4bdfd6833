#pragma once

#include <optional>
#include <string>
#include <vector>

#include "commands/command_context.h"
#include "lcomp/pipeline/calibration_setting.h"

namespace lcomp {

// The options --texts, --sequences, --tokens, ... of commands that calibrate.
class CalibrationOption {
 public:
  // with_order: also --order, for commands that compress.
  void add_to(Command& command, CommandContext& context, bool with_order);
  bool given() const { return !files_.empty(); }
  // As the JSON of CalibrationSetting, laid over `base`.
  nlohmann::json json(nlohmann::json base = nlohmann::json::object()) const;
  CalibrationSetting setting(const std::string& data) const;

 private:
  std::vector<std::string> files_;
  std::optional<std::int64_t> sequences_, tokens_, seed_;
  std::optional<std::uint64_t> memory_;
  std::string short_texts_, long_texts_, order_;
  bool no_bos_ = false;
};

}  // namespace lcomp
