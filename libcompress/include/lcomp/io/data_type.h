#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace lcomp {

// Element types of safetensors files, by their names there ("F32", "BF16", "F8_E4M3", ...).
enum class DataType { f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

std::size_t bytes_per_element(DataType type);
std::string_view name(DataType type);
std::optional<DataType> data_type_from_name(std::string_view name);  // nothing for an unknown name

}  // namespace lcomp
