// file_transfer: `file_transfer receive 0.0.0.0:7000 FOLDER`, `file_transfer send HOST:7000 FILE...`; or tries itself.
// Whoever can connect may replace any file in that folder: it is for networks where that is right.
// Teaches: messages over a connection (frames) that may break at any time: the receiver says how much it has, and the
// checksum of that, so that only the rest is sent again. Checksums are computed on the pool, beside the loop.
#include <tutti/base/codec.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
namespace io = tutti::io;

constexpr std::chrono::seconds patience = 30s;  // for each step of the other side
constexpr std::size_t piece = 65536;

// What is said, in this order; behind `start` come the bytes, in frames.
struct offer {
  std::string name;
  std::uint64_t size;
  std::string checksum;
};
struct have {
  std::uint64_t size;
  std::string checksum;  // of these bytes
};
struct start {
  std::uint64_t at;
};
struct verdict {
  std::string error;  // "": it is all there
};

// The SHA-256 of the first `size` bytes of a file, or of all of a shorter one. Blocks.
std::string checksum(const fs::path& path, std::uint64_t size) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> state(::EVP_MD_CTX_new(), ::EVP_MD_CTX_free);
  ::EVP_DigestInit_ex(state.get(), ::EVP_sha256(), nullptr);
  std::ifstream in(path, std::ios::binary);
  std::vector<char> room(piece);
  while (size > 0 && in) {
    in.read(room.data(), static_cast<std::streamsize>(std::min<std::uint64_t>(size, room.size())));
    const auto n = static_cast<std::size_t>(in.gcount());
    ::EVP_DigestUpdate(state.get(), room.data(), n);
    size -= n;
  }
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  ::EVP_DigestFinal_ex(state.get(), reinterpret_cast<unsigned char*>(digest.data()), &length);
  digest.resize(length);
  ::OPENSSL_thread_stop();  // what it keeps for this thread: the pool's threads live longer than OpenSSL
  return digest;
}

tutti::task<std::string> checksum_async(fs::path path, std::uint64_t size) {
  const auto compute = [&] { return checksum(path, size); };
  co_return co_await tutti::shield(tutti::default_pool().submit(compute));  // it uses what lives here
}

template <class T>
tutti::task<> say(io::frames& to, const T& message) {
  return to.write_frame(tutti::encode(message), patience);
}
template <class T>
tutti::task<T> hear(io::frames& from) {
  const std::optional<std::string> message = co_await from.read_frame(patience);
  if (!message) throw tutti::closed("the other side has ended the connection");
  co_return tutti::decode<T>(*message);
}

// ---- the receiver

class receiver {
 public:
  explicit receiver(fs::path folder) : folder_(std::move(folder)) {}
  [[nodiscard]] std::size_t names_in_use() const noexcept { return in_use_.size(); }

  tutti::task<> serve(io::listener at, tutti::stop_ref stop = {}) {
    const auto one = [this](io::stream s) -> tutti::task<> {
      io::frames peer(std::move(s), piece);
      std::string error;
      try {
        co_await receive(peer);
      } catch (const std::invalid_argument& e) {
        error = e.what();
      }
      const verdict end{error};
      co_await say(peer, end);
    };
    co_await io::serve(std::move(at), one, {.drain = 10s, .stop = stop});
  }

 private:
  // Throws std::invalid_argument for what the sender is to be told.
  tutti::task<> receive(io::frames& peer) {
    const offer offered = co_await hear<offer>(peer);
    const fs::path name(offered.name);
    if (offered.name.empty() || offered.name.size() > 250 || offered.name.front() == '.' ||
        name.extension() == ".part" || name != name.filename())
      throw std::invalid_argument("\"" + offered.name.substr(0, 64) + "\" is no name for a file");
    // One at a time for each name; the one before may be a connection that is broken and does not know it yet.
    const claim name_in_use(in_use_, offered.name);
    const auto mine = co_await name_in_use.lock().lock_async();

    const fs::path part = folder_ / (offered.name + ".part");
    io::file out = co_await io::file::open(part, io::file_mode::update);
    const std::uint64_t there = std::min(co_await out.size(), offered.size);
    have known{there, {}};
    known.checksum = co_await checksum_async(part, there);
    co_await say(peer, known);

    std::uint64_t at = (co_await hear<start>(peer)).at;
    if (at != 0 && at != there) throw std::invalid_argument("that is no place to start at");
    co_await out.truncate(at);
    while (at < offered.size) {
      const std::optional<std::string> bytes = co_await peer.read_frame(patience);
      if (!bytes) throw tutti::closed("the sender has ended the connection");
      if (bytes->empty() || bytes->size() > offered.size - at)
        throw std::invalid_argument("these are not the bytes that were announced");
      co_await out.write_at(*bytes, at);
      at += bytes->size();
    }
    co_await out.sync();
    co_await out.close();
    const std::string sum = co_await checksum_async(part, offered.size);
    if (sum != offered.checksum) {
      fs::remove(part);
      throw std::invalid_argument("the checksum is another one: send all of it again");
    }
    fs::rename(part, folder_ / offered.name);
  }

  struct use {
    tutti::mutex lock;
    int users = 0;
  };
  using names = std::map<std::string, use>;
  // Peers choose the names: what nobody uses is not kept.
  class claim {
   public:
    claim(names& all, const std::string& name) : all_(all), at_(all.try_emplace(name).first) { ++at_->second.users; }
    ~claim() {
      if (--at_->second.users == 0) all_.erase(at_);
    }
    claim(const claim&) = delete;
    claim& operator=(const claim&) = delete;
    [[nodiscard]] tutti::mutex& lock() const noexcept { return at_->second.lock; }

   private:
    names& all_;
    names::iterator at_;
  };

  fs::path folder_;
  names in_use_;
};

// ---- the sender

struct sent {
  std::uint64_t from = 0, bytes = 0;
};

// One attempt; what was sent is also noted in `all`, when it fails.
tutti::task<> send_once(std::string to, fs::path path, std::vector<sent>& all) {
  const std::uint64_t size = fs::file_size(path);
  offer offered{path.filename(), size, {}};
  offered.checksum = co_await checksum_async(path, size);
  io::stream s = co_await io::connect(to, {.limit = patience});
  io::frames peer(std::move(s), piece);
  co_await say(peer, offered);

  const have known = co_await hear<have>(peer);
  const std::string same = co_await checksum_async(path, known.size);
  sent& now = all.emplace_back();
  now.from = same == known.checksum ? known.size : 0;
  const start begin{now.from};
  co_await say(peer, begin);

  const io::file in = co_await io::file::open(path);
  std::string bytes(piece, '\0');
  for (std::uint64_t at = now.from; at < size; at += bytes.size()) {
    bytes.resize(std::min<std::uint64_t>(piece, size - at));
    const std::size_t n = co_await in.read_at(bytes, at);
    if (n != bytes.size()) throw std::invalid_argument(path.string() + " has become shorter meanwhile");
    co_await peer.write_frame(bytes, patience);
    now.bytes += n;
  }
  const verdict end = co_await hear<verdict>(peer);
  if (!end.error.empty()) throw std::invalid_argument(path.string() + ": " + end.error);
}

// Again and again while connections break. What each attempt has sent.
tutti::task<std::vector<sent>> send(std::string to, fs::path path) {
  std::vector<sent> all;
  const auto attempt = [&]() -> tutti::task<> { co_await send_once(to, path, all); };
  co_await tutti::retry(attempt, {.attempts = 5, .first_delay = 50ms, .retry_if = io::is_transient});
  co_return all;
}

// ---- the test

// Goes between the two, and cuts the first connections after so many bytes.
class cutter {
 public:
  cutter(io::endpoint to, int connections, std::size_t after) : to_(to), left_(connections), after_(after) {}

  tutti::task<> serve(io::listener at, tutti::stop_ref stop) {
    const auto one = [this](io::stream s) -> tutti::task<> {
      io::stream client = std::move(s), server = co_await io::connect(to_);
      const std::size_t most = left_-- > 0 ? after_ : std::numeric_limits<std::size_t>::max();
      std::size_t& count = passed.emplace_back(0);
      std::size_t back = 0;
      tutti::task<> there = pass(client, server, most, count), here = pass(server, client, most, back);
      co_await tutti::when_any(std::move(there), std::move(here));
    };
    co_await io::serve(std::move(at), one, {.drain = 0s, .stop = stop});
  }

  std::deque<std::size_t> passed;  // bytes of each connection, from the client

 private:
  static tutti::task<> pass(io::stream& from, io::stream& to, std::size_t most, std::size_t& count) {
    std::array<char, 4096> room;
    while (count < most) {
      const std::size_t n =
          co_await from.read_some(io::mutable_buffer(room.data(), std::min(room.size(), most - count)));
      if (n == 0) co_return;
      co_await to.write(io::const_buffer(room.data(), n));
      count += n;
    }
  }

  io::endpoint to_;
  int left_;
  std::size_t after_;
};

void write(const fs::path& path, std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525U + 1013904223U) >> 24U);
  std::ofstream(path, std::ios::binary) << text;
}

bool same(const fs::path& a, const fs::path& b) {
  return fs::exists(b) && fs::file_size(a) == fs::file_size(b) &&
         checksum(a, fs::file_size(a)) == checksum(b, fs::file_size(b));
}

int wrong = 0;
void check(bool right, const std::string& what) {
  std::cout << (right ? "" : "WRONG: ") << what << '\n';
  wrong += right ? 0 : 1;
}

tutti::task<> send_many(std::string to, fs::path here, fs::path there) {
  std::vector<tutti::task<std::vector<sent>>> all;
  std::vector<fs::path> names;
  for (unsigned i = 0; i < 20; ++i) {
    names.emplace_back("file" + std::to_string(i));
    write(here / names.back(), std::size_t{i} * i * 5003, i);
    all.push_back(send(to, here / names.back()));
  }
  co_await tutti::when_all(std::move(all));
  const auto right =
      std::count_if(names.begin(), names.end(), [&](const fs::path& n) { return same(here / n, there / n); });
  check(right == 20, std::to_string(right) + " of 20 files have arrived, sent at once");
}

tutti::task<> send_broken(std::string to, const cutter& between, fs::path here, fs::path there) {
  constexpr std::size_t size = 3'000'000;
  write(here / "broken", size, 99);
  const std::vector<sent> tries = co_await send(to, here / "broken");
  check(tries.size() == 3 && same(here / "broken", there / "broken"), "a file has arrived over 3 connections");
  std::size_t passed = 0;
  for (std::size_t i = 0; i < tries.size(); ++i) {
    std::cout << "  from " << tries[i].from << ", " << between.passed[i] << " bytes have passed\n";
    passed += between.passed[i];
    if (i == 0) continue;
    check(tries[i].from > tries[i - 1].from && tries[i].from < tries[i - 1].from + between.passed[i - 1],
          "it went on where the connection had broken");
  }
  check(tries.back().bytes == size - tries.back().from, "only the rest was sent");
  // Pieces that were on their way were lost each time, and there are a few other messages.
  check(passed < size + 3 * (piece + 1000), std::to_string(passed) + " bytes for a file of " + std::to_string(size));
}

tutti::task<> send_damaged(std::string to, fs::path here, fs::path there) {
  write(here / "damaged", 500'000, 7);
  write(there / "damaged.part", 300'000, 8);  // other bytes
  std::vector<sent> tries = co_await send(to, here / "damaged");
  check(tries.size() == 1 && tries[0].from == 0 && same(here / "damaged", there / "damaged"),
        "what was damaged was sent anew");
  write(here / "partly", 500'000, 9);
  write(there / "partly.part", 300'000, 9);  // the same bytes
  tries = co_await send(to, here / "partly");
  check(tries.size() == 1 && tries[0].from == 300'000 && same(here / "partly", there / "partly"),
        "what was there was not sent again");
}

tutti::task<> send_bad(std::string to, fs::path there) {
  const std::vector<std::string> names{"../evil", "a.part", std::string(251, 'n'), "liar"};
  for (const std::string& name : names) {
    io::stream s = co_await io::connect(to);
    io::frames peer(std::move(s));
    const offer bad{name, 3, "not the checksum"};
    co_await say(peer, bad);
    if (name == "liar") {
      static_cast<void>(co_await hear<have>(peer));
      const start begin{0};
      co_await say(peer, begin);
      co_await peer.write_frame("abc");
    }
    const verdict end = co_await hear<verdict>(peer);
    check(!end.error.empty() && !fs::exists(there / name), "refused: " + end.error);
  }
}

tutti::task<int> try_itself() {
  std::string folder = (fs::temp_directory_path() / "tutti-files-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) throw tutti::os_error::of("making " + folder, errno);
  const fs::path here = folder + "/here", there = folder + "/there";
  fs::create_directories(here);
  fs::create_directories(there);

  receiver all(there);
  io::listener at = io::listen("127.0.0.1:0"), between_at = io::listen("127.0.0.1:0");
  const std::string to = at.local().text(), to_between = between_at.local().text();
  cutter between(at.local(), 2, 1'000'000);
  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
    group.spawn(all.serve(std::move(at), asked));
    group.spawn(between.serve(std::move(between_at), asked));
    co_await send_many(to, here, there);
    co_await send_broken(to_between, between, here, there);
    co_await send_damaged(to, here, there);
    co_await send_bad(to, there);
    quit.request_stop();
  });
  check(all.names_in_use() == 0, "no name is kept");
  fs::remove_all(folder);
  co_return wrong == 0 ? 0 : 1;
}

tutti::task<int> send_all(std::string to, std::vector<std::string> files) {
  for (const std::string& file : files) {
    const std::vector<sent> tries = co_await send(to, file);
    std::cout << file << ": " << tries.back().bytes << " bytes, from byte " << tries.back().from << '\n';
  }
  co_return 0;
}

tutti::task<int> receive_all(std::string at, std::string folder) {
  receiver all(folder);
  co_await all.serve(io::listen(at));
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "send" && argc > 3) return io::run(send_all(argv[2], {argv + 3, argv + argc}));
  if (what == "receive" && argc == 4) return io::run(receive_all(argv[2], argv[3]));
  if (argc == 1) return io::run(try_itself());
  std::cerr << "file_transfer receive ADDRESS FOLDER; file_transfer send ADDRESS FILE...\n";
  return 2;
}
