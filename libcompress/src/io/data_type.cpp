#include "lcomp/io/data_type.h"

#include <array>

namespace lcomp {
namespace {

struct Description {
  DataType type;
  std::string_view name;
  std::size_t bytes;
};

// In the order of the enumeration.
constexpr std::array<Description, 15> kTypes{{{DataType::f64, "F64", 8},
                                              {DataType::f32, "F32", 4},
                                              {DataType::f16, "F16", 2},
                                              {DataType::bf16, "BF16", 2},
                                              {DataType::f8_e4m3, "F8_E4M3", 1},
                                              {DataType::f8_e5m2, "F8_E5M2", 1},
                                              {DataType::i64, "I64", 8},
                                              {DataType::i32, "I32", 4},
                                              {DataType::i16, "I16", 2},
                                              {DataType::i8, "I8", 1},
                                              {DataType::u64, "U64", 8},
                                              {DataType::u32, "U32", 4},
                                              {DataType::u16, "U16", 2},
                                              {DataType::u8, "U8", 1},
                                              {DataType::boolean, "BOOL", 1}}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (static_cast<std::size_t>(kTypes[i].type) != i) return false;
  }
  return true;
}
static_assert(in_order());

}  // namespace

std::size_t bytes_per_element(DataType type) { return kTypes.at(static_cast<std::size_t>(type)).bytes; }

std::string_view name(DataType type) { return kTypes.at(static_cast<std::size_t>(type)).name; }

std::optional<DataType> data_type_from_name(std::string_view name) {
  for (const Description& known : kTypes) {
    if (known.name == name) return known.type;
  }
  return std::nullopt;
}

}  // namespace lcomp
