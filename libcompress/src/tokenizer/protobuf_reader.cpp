#include "tokenizer/protobuf_reader.h"

#include <fmt/format.h>

#include <bit>

#include "lcomp/core/error.h"

namespace lcomp {

void ProtobufReader::fail(const std::string& found) const {
  throw Error({where_, fmt::format("{} at byte {} of a message of {}", found, at_, message_.size()),
               "a protobuf message", "Is the file damaged, or of another kind?"});
}

void ProtobufReader::expect_kind(const Field& field, std::uint8_t kind) const {
  if (field.kind != kind) fail(fmt::format("field {} of wire type {} instead of {}", field.number, field.kind, kind));
}

std::uint64_t ProtobufReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at_ == message_.size()) fail("the end within a number");
    const auto byte = static_cast<std::uint8_t>(message_[at_++]);
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  fail("a number of more than 64 bits");
}

std::span<const std::byte> ProtobufReader::take(std::uint64_t size) {
  if (size > message_.size() - at_) fail(fmt::format("a field of {} bytes", size));
  const auto bytes = message_.subspan(at_, static_cast<std::size_t>(size));
  at_ += static_cast<std::size_t>(size);
  return bytes;
}

std::optional<ProtobufReader::Field> ProtobufReader::next() {
  if (at_ == message_.size()) return std::nullopt;
  const std::uint64_t tag = varint();
  const std::uint64_t number = tag >> 3;
  if (number == 0 || number > 0x1fffffff) fail(fmt::format("the field number {}", number));
  Field field;
  field.number = static_cast<std::uint32_t>(number);
  field.kind = static_cast<std::uint8_t>(tag & 7);
  const auto fixed = [&](std::uint64_t size) {
    std::uint64_t value = 0;
    unsigned shift = 0;
    for (const std::byte byte : take(size)) {
      value |= static_cast<std::uint64_t>(byte) << shift;
      shift += 8;
    }
    return value;
  };
  switch (field.kind) {
    case 0:
      field.integer = varint();
      break;
    case 1:
      field.integer = fixed(8);
      break;
    case 2:
      field.content = take(varint());
      break;
    case 5:
      field.integer = fixed(4);
      break;
    default:
      fail(fmt::format("the wire type {}", field.kind));
  }
  return field;
}

std::int64_t ProtobufReader::integer(const Field& field) const {
  expect_kind(field, 0);
  return static_cast<std::int64_t>(field.integer);
}

bool ProtobufReader::boolean(const Field& field) const {
  expect_kind(field, 0);
  return field.integer != 0;
}

float ProtobufReader::float32(const Field& field) const {
  expect_kind(field, 5);
  return std::bit_cast<float>(static_cast<std::uint32_t>(field.integer));
}

std::string_view ProtobufReader::text(const Field& field) const {
  expect_kind(field, 2);
  return {reinterpret_cast<const char*>(field.content.data()), field.content.size()};
}

ProtobufReader ProtobufReader::message(const Field& field) const {
  expect_kind(field, 2);
  return ProtobufReader(field.content, where_);
}

}  // namespace lcomp
