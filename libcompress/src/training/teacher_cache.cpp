#include "training/teacher_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"

namespace lcomp {
namespace {

// The file: this line, the key's length and text, then records: RecordHead and its body, lengths [positions] u32, ids
// [total] i32, log probabilities [total] f32.
constexpr std::string_view magic = "libcompress teacher cache 1\n";

struct RecordHead {
  std::uint64_t record = 0, bytes = 0, checksum = 0;
};

std::uint64_t checksum(const std::vector<char>& bytes) { return hash64(std::as_bytes(std::span<const char>(bytes))); }

template <typename T>
void append(std::vector<char>& bytes, std::span<const T> values) {
  const auto* begin = reinterpret_cast<const char*>(values.data());
  bytes.insert(bytes.end(), begin, begin + values.size_bytes());
}

bool read_at(int descriptor, std::uint64_t at, char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t got = pread(descriptor, data, size, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    data += got;
    at += static_cast<std::uint64_t>(got);
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_at(int descriptor, std::uint64_t at, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t put = pwrite(descriptor, data, size, static_cast<off_t>(at));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    data += put;
    at += static_cast<std::uint64_t>(put);
    size -= static_cast<std::size_t>(put);
  }
  return true;
}

std::vector<char> file_head(const std::string& key) {
  std::vector<char> head;
  append<char>(head, magic);
  const auto length = static_cast<std::uint32_t>(key.size());
  append<std::uint32_t>(head, {&length, 1});
  append<char>(head, key);
  return head;
}

}  // namespace

TeacherCache::TeacherCache(std::filesystem::path file, const std::string& key) : file_(std::move(file)) {
  if (file_.has_parent_path()) {
    std::error_code failure;  // open() says what is wrong
    std::filesystem::create_directories(file_.parent_path(), failure);
  }
  descriptor_ = open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("opening it");
  try {
    struct stat about {};
    if (fstat(descriptor_, &about) != 0) fail("opening it");
    if (about.st_size == 0) {
      create(key);
    } else {
      scan(key);
    }
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

TeacherCache::~TeacherCache() { close(descriptor_); }

void TeacherCache::fail(const char* action) const {
  throw Error(ErrorKind::system,
              {file_.string(), fmt::format("{} failed: {}", action, std::strerror(errno)), "a teacher's cache", ""});
}

void TeacherCache::create(const std::string& key) {
  const std::vector<char> head = file_head(key);
  if (!write_at(descriptor_, 0, head.data(), head.size())) fail("writing");
  end_ = head.size();
}

void TeacherCache::scan(const std::string& key) {
  const std::vector<char> expected = file_head(key);
  std::vector<char> head(expected.size());
  if (!read_at(descriptor_, 0, head.data(), head.size()) || head != expected) {
    const bool is_cache = std::equal(magic.begin(), magic.end(), head.begin());
    throw Error({file_.string(), is_cache ? "the cache of another teacher, or of more or fewer tokens" : "no cache",
                 "that of this teacher", "give another file, or delete it"});
  }
  end_ = head.size();
  RecordHead record;
  std::vector<char> body;
  while (read_at(descriptor_, end_, reinterpret_cast<char*>(&record), sizeof(record))) {
    const std::uint64_t at = end_ + sizeof(record);
    struct stat about {};
    if (fstat(descriptor_, &about) != 0 || record.bytes > static_cast<std::uint64_t>(about.st_size) - at) break;
    body.resize(record.bytes);
    if (!read_at(descriptor_, at, body.data(), body.size()) || checksum(body) != record.checksum) break;
    places_[record.record] = {at, record.bytes};
    end_ = at + record.bytes;
  }
  if (ftruncate(descriptor_, static_cast<off_t>(end_)) != 0) fail("cutting off its damaged end");
}

std::uint64_t TeacherCache::record_key(std::span<const std::int32_t> sequence, std::span<const float> weights) {
  std::vector<char> bytes;
  append(bytes, sequence);
  for (const float weight : weights) bytes.push_back(weight > 0 ? 1 : 0);
  return hash64(std::as_bytes(std::span<const char>(bytes)));
}

void TeacherCache::read(std::uint64_t record, TopTokens& tokens) const {
  const Place place = places_.at(record);
  std::vector<char> body(place.bytes);
  RecordHead head;
  const bool whole = read_at(descriptor_, place.at - sizeof(head), reinterpret_cast<char*>(&head), sizeof(head)) &&
                     read_at(descriptor_, place.at, body.data(), body.size()) && checksum(body) == head.checksum;
  std::uint32_t positions = 0;
  if (whole && body.size() >= sizeof(positions)) std::memcpy(&positions, body.data(), sizeof(positions));
  std::vector<std::uint32_t> lengths(positions);
  const std::size_t lengths_end = sizeof(positions) + lengths.size() * sizeof(std::uint32_t);
  std::size_t total = 0;
  if (whole && lengths_end <= body.size()) {
    std::memcpy(lengths.data(), body.data() + sizeof(positions), lengths.size() * sizeof(std::uint32_t));
    for (const std::uint32_t length : lengths) total += length;
  }
  if (!whole || body.size() != lengths_end + 8 * total) {
    throw Error({file_.string(), "a damaged record", "what was written", "delete it: it is made again"});
  }
  const std::size_t before = tokens.ids.size();
  tokens.ids.resize(before + total);
  tokens.log_probabilities.resize(before + total);
  std::memcpy(tokens.ids.data() + before, body.data() + lengths_end, 4 * total);
  std::memcpy(tokens.log_probabilities.data() + before, body.data() + lengths_end + 4 * total, 4 * total);
  for (const std::uint32_t length : lengths) tokens.offsets.push_back(tokens.offsets.back() + length);
}

void TeacherCache::write(std::uint64_t record, const TopTokens& tokens, std::size_t begin, std::size_t end) {
  std::vector<std::uint32_t> lengths;
  lengths.push_back(static_cast<std::uint32_t>(end - begin));
  for (std::size_t t = begin; t < end; ++t) {
    lengths.push_back(static_cast<std::uint32_t>(tokens.offsets[t + 1] - tokens.offsets[t]));
  }
  const std::size_t first = tokens.offsets[begin], count = tokens.offsets[end] - first;
  std::vector<char> body;
  append<std::uint32_t>(body, lengths);
  append<std::int32_t>(body, std::span(tokens.ids).subspan(first, count));
  append<float>(body, std::span(tokens.log_probabilities).subspan(first, count));
  const RecordHead head{record, body.size(), checksum(body)};
  std::vector<char> whole;
  append<RecordHead>(whole, {&head, 1});
  whole.insert(whole.end(), body.begin(), body.end());
  if (!write_at(descriptor_, end_, whole.data(), whole.size())) {
    const int error = errno;
    if (ftruncate(descriptor_, static_cast<off_t>(end_)) != 0) fail("cutting off what was not written whole");
    errno = error;
    fail("writing");
  }
  places_[record] = {end_ + sizeof(head), body.size()};
  end_ += whole.size();
}

}  // namespace lcomp
