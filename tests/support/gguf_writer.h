#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "lcomp/core/matrix.h"

// Writes GGUF files for tests: float32 tensors, the metadata types that matter for models.
namespace lcomp::testing {

class GgufWriter {
 public:
  using Value = std::variant<std::uint32_t, float, bool, std::string, std::vector<std::string>, std::vector<float>,
                             std::vector<std::int32_t>>;

  GgufWriter clone() const {
    GgufWriter copy;
    copy.metadata_ = metadata_;
    for (const Tensor& tensor : tensors_) copy.add(tensor.name, tensor.shape, tensor.values.clone());
    return copy;
  }
  void set(const std::string& key, Value value) {
    for (auto& [known, old] : metadata_) {
      if (known == key) {
        old = std::move(value);
        return;
      }
    }
    metadata_.emplace_back(key, std::move(value));
  }
  void erase(const std::string& key) {
    std::erase_if(metadata_, [&](const auto& entry) { return entry.first == key; });
  }
  // shape: row-major, outermost first.
  void add(const std::string& name, std::vector<std::size_t> shape, Matrix values) {
    tensors_.push_back({name, std::move(shape), std::move(values)});
  }
  void erase_tensor(const std::string& name) {
    std::erase_if(tensors_, [&](const Tensor& tensor) { return tensor.name == name; });
  }

  void write(const std::filesystem::path& path) const {
    std::string head = "GGUF";
    put(head, std::uint32_t{3});
    put(head, std::uint64_t{tensors_.size()});
    put(head, std::uint64_t{metadata_.size()});
    for (const auto& [key, value] : metadata_) {
      put_string(head, key);
      std::visit([&](const auto& typed) { put_value(head, typed); }, value);
    }
    std::string data;
    for (const Tensor& tensor : tensors_) {
      put_string(head, tensor.name);
      put(head, static_cast<std::uint32_t>(tensor.shape.size()));
      for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) put(head, std::uint64_t{*size});
      put(head, std::uint32_t{0});  // F32
      put(head, std::uint64_t{data.size()});
      data.append(reinterpret_cast<const char*>(tensor.values.data()), 4 * tensor.values.size());
      data.resize((data.size() + 31) / 32 * 32);
    }
    head.resize((head.size() + 31) / 32 * 32);
    std::ofstream(path, std::ios::binary) << head << data;
  }

 private:
  struct Tensor {
    std::string name;
    std::vector<std::size_t> shape;
    Matrix values;
  };

  template <typename T>
  static void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static void put_string(std::string& out, const std::string& text) {
    put(out, std::uint64_t{text.size()});
    out += text;
  }
  static std::uint32_t type_of(std::uint32_t) { return 4; }
  static std::uint32_t type_of(std::int32_t) { return 5; }
  static std::uint32_t type_of(float) { return 6; }
  static std::uint32_t type_of(bool) { return 7; }
  static std::uint32_t type_of(const std::string&) { return 8; }
  template <typename T>
  static void put_item(std::string& out, const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      put_string(out, value);
    } else {
      put(out, value);
    }
  }
  template <typename T>
  static void put_value(std::string& out, const T& value) {
    put(out, type_of(value));
    put_item(out, value);
  }
  template <typename T>
  static void put_value(std::string& out, const std::vector<T>& values) {
    put(out, std::uint32_t{9});
    put(out, type_of(T()));
    put(out, std::uint64_t{values.size()});
    for (const T& value : values) put_item(out, value);
  }

  std::vector<std::pair<std::string, Value>> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace lcomp::testing
