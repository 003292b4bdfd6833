// parse_json on any text: accepts nothing that nlohmann-json refuses, gives the same tree, and throws Error in one line
// otherwise. ConfigReader on any object.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

#include "lcomp/core/error.h"
#include "lcomp/io/config_reader.h"

namespace {

using lcomp::ConfigReader;

template <typename Work>
void expect_value_or_error(const Work& work) {
  try {
    work();
  } catch (const lcomp::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
}

void read_every_way(const nlohmann::json& object) {
  constexpr auto kLow = std::numeric_limits<std::int64_t>::min();
  constexpr auto kHigh = std::numeric_limits<std::int64_t>::max();
  ConfigReader reader(object, "input");
  expect_value_or_error([&] { reader.finish(); });
  for (const auto& item : object.items()) {
    const std::string& key = item.key();
    expect_value_or_error([&] { reader.integer(key, kLow, kHigh); });
    expect_value_or_error([&] { reader.real(key, -1, 1); });
    expect_value_or_error([&] { reader.boolean_or(key, true); });
    expect_value_or_error([&] { reader.string(key); });
    expect_value_or_error([&] { reader.one_of(key, {"one", "two"}); });
    expect_value_or_error([&] { reader.strings(key); });
    expect_value_or_error([&] { reader.integers(key, 0, 10); });
    expect_value_or_error([&] { reader.reals(key, 0, 10); });
    expect_value_or_error([&] { reader.each_object(key, [](ConfigReader& inner) { inner.integer("n", 0, 1); }); });
  }
  reader.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  expect_value_or_error([&] {
    const nlohmann::json value = lcomp::parse_json(text, "input");
    if (value != nlohmann::json::parse(text)) std::abort();
    if (value.is_object()) read_every_way(value);
  });
  return 0;
}
