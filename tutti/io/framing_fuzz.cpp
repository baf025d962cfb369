// framing_fuzz: bytes of any origin, in pieces of any size, are the messages that a simple reader finds in them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tutti/io/connect.hpp>
#include <tutti/io/framing.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>
#include <vector>

namespace {

namespace io = tutti::io;

constexpr std::size_t most = 300;

struct outcome {
  std::vector<std::string> messages;
  enum end { fine, inside, too_long } how = fine;
  friend bool operator==(const outcome&, const outcome&) = default;
};

outcome expected(std::string_view bytes) {
  outcome result;
  while (!bytes.empty()) {
    if (bytes.size() < 4) return {result.messages, outcome::inside};
    std::size_t size = 0;
    for (int i = 0; i < 4; ++i) size = size * 256 + static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
    if (size > most) return {result.messages, outcome::too_long};
    if (bytes.size() < 4 + size) return {result.messages, outcome::inside};
    result.messages.emplace_back(bytes.substr(4, size));
    bytes.remove_prefix(4 + size);
  }
  return result;
}

tutti::task<> write_pieces(io::stream& to, std::string_view bytes, std::size_t piece) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    co_await to.write(bytes.substr(0, piece));
    co_await tutti::yield_now();
  }
  co_await to.shutdown_write();
}

tutti::task<> read_all(io::frames& from, outcome& result) {
  try {
    for (;;) {
      std::optional<std::string> message = co_await from.read_frame();
      if (!message) co_return;
      result.messages.push_back(*std::move(message));
    }
  } catch (const io::too_long&) {
    result.how = outcome::too_long;
  } catch (const tutti::closed&) {
    result.how = outcome::inside;
  }
}

tutti::task<> check(std::string_view bytes, std::size_t piece) {
  auto ends = io::stream_pair();
  io::frames from(std::move(ends.second), most);
  outcome result;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(write_pieces(ends.first, bytes, piece));
    co_await read_all(from, result);
    group.stop();  // what was refused leaves the rest unread
  });
  if (result != expected(bytes)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static io::loop here;
  here.run(check({reinterpret_cast<const char*>(data) + 1, size - 1}, data[0] % 16 == 0 ? 4096 : data[0] % 16));
  return 0;
}
