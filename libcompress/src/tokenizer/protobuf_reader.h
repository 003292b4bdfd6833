#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lcomp {

// Reads the fields of one message in Protocol Buffers' wire format: each is a varint (number << 3 | kind) and a value
// that is a varint (kind 0), 8 bytes (1), a varint length and so many bytes (2), or 4 bytes (5). Every length is
// checked against the bytes there are.
class ProtobufReader {
 public:
  struct Field {
    std::uint32_t number = 0;
    std::uint8_t kind = 0;
    std::uint64_t integer = 0;           // of kinds 0, 1 and 5 (the bits)
    std::span<const std::byte> content;  // of kind 2
  };

  ProtobufReader(std::span<const std::byte> message, std::string where) : message_(message), where_(std::move(where)) {}

  // The next field, nothing at the end. Throws Error naming `where` for what is no such message.
  std::optional<Field> next();

  // The value of a field as the type it should have. Throw Error when it is of another kind.
  std::int64_t integer(const Field& field) const;  // int32, int64, enum
  bool boolean(const Field& field) const;
  float float32(const Field& field) const;
  std::string_view text(const Field& field) const;
  ProtobufReader message(const Field& field) const;

 private:
  [[noreturn]] void fail(const std::string& found) const;
  void expect_kind(const Field& field, std::uint8_t kind) const;
  std::uint64_t varint();
  std::span<const std::byte> take(std::uint64_t size);

  std::span<const std::byte> message_;
  std::size_t at_ = 0;
  std::string where_;
};

}  // namespace lcomp
