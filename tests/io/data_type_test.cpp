#include "lcomp/io/data_type.h"

#include <gtest/gtest.h>

namespace lcomp {
namespace {

TEST(DataType, NamesRoundTripAndSayTheWidth) {
  std::size_t count = 0;
  for (int i = 0; i <= static_cast<int>(DataType::boolean); ++i) {
    const auto type = static_cast<DataType>(i);
    SCOPED_TRACE(name(type));
    EXPECT_EQ(data_type_from_name(name(type)), type);
    // A name ends in its width, up to an underscore: I64, BF16, F8_E4M3. BOOL takes a byte.
    const auto text = std::string(name(type));
    const auto digits = text.find_first_of("0123456789");
    const std::size_t bits = digits == std::string::npos ? 8 : std::stoul(text.substr(digits));
    EXPECT_EQ(bytes_per_element(type) * 8, bits);
    ++count;
  }
  EXPECT_EQ(count, 15u);
}

TEST(DataType, UnknownNamesGiveNothing) {
  for (const char* text : {"", "f32", "F31", "F32 ", "F8", "F8_E8M0", "INT8"}) {
    EXPECT_EQ(data_type_from_name(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace lcomp
