// Files: read and written on helper threads, which whoever waits may leave at once.
#include <gtest/gtest.h>
#include <tests/support/busy_helpers.hpp>
#include <tests/support/failure_of.hpp>
#include <tests/support/forks.hpp>
#include <tutti/core/future.hpp>
#include <tutti/io/file.hpp>
#include <tutti/io/listening.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/task/sync_wait.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
namespace io = tutti::io;
using tutti_test::failure_of;
namespace fs = std::filesystem;

// A folder of its own for each test.
class files : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "tutti_file_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder_)) all.push_back(entry.path().filename());
    return all;
  }
  void make(const std::string& name, std::string content) const {
    io::run(io::write_file(at(name), std::move(content), {.sync = false}));
  }
  std::string content(const std::string& name) const { return io::run(io::read_file(at(name), 1 << 24)); }

 private:
  fs::path folder_;
};

std::atomic<class held_write*> holder{nullptr};

// The next pwrite of the program waits inside it.
class held_write {
 public:
  held_write() { holder = this; }
  ~held_write() { holder = nullptr; }
  held_write(const held_write&) = delete;
  held_write& operator=(const held_write&) = delete;
  void wait_until_inside() { inside_.wait(); }
  void go_on() { go_.count_down(); }
  void stay() {
    inside_.count_down();
    go_.wait();
  }

 private:
  std::latch inside_{1}, go_{1};
};

template <class T>
int code_of(tutti::task<T> work) {
  try {
    io::run(std::move(work));
  } catch (const tutti::os_error& e) {
    return e.code();
  }
  return 0;
}

TEST_F(files, read_back_what_was_written) {
  io::run([](std::string path) -> tutti::task<> {
    io::file f = co_await io::file::open(path, io::file_mode::create);
    co_await f.write_at("hello world", 0);
    co_await f.write_at("W", 6);
    std::array<char, 32> room{};
    std::size_t n = co_await f.read_at(room, 6);
    EXPECT_EQ(std::string(room.data(), n), "World");
    n = co_await f.read_at(room, 100);
    EXPECT_EQ(n, 0U);
    EXPECT_EQ(co_await f.size(), 11U);
    co_await f.truncate(5);
    EXPECT_EQ(co_await f.size(), 5U);
    co_await f.sync();
    co_await f.close();
    EXPECT_FALSE(f);
    EXPECT_THROW(static_cast<void>(f.size()), tutti::closed);
  }(at("f")));
  EXPECT_EQ(content("f"), "hello");
}

TEST_F(files, of_any_size) {
  io::run([](std::string path) -> tutti::task<> {
    std::string much(3'000'001, '\0');
    for (std::size_t i = 0; i < much.size(); ++i) much[i] = static_cast<char>(i * 7 % 251);
    const io::file f = co_await io::file::open(path, io::file_mode::update);
    co_await f.write(much);
    EXPECT_EQ(f.position(), much.size());
    std::string back(much.size() + 10, '\0');
    const std::size_t n = co_await f.read_at(back, 0);
    back.resize(n);
    EXPECT_TRUE(back == much);
    const std::string whole = co_await io::read_file(path, much.size());
    EXPECT_TRUE(whole == much);
  }(at("f")));
}

TEST_F(files, have_a_position) {
  make("f", "one\ntwo\r\n\nrest");
  io::run([](std::string path) -> tutti::task<> {
    const io::file f = co_await io::file::open(path, io::file_mode::update);
    EXPECT_EQ(co_await f.read_line(), "one");
    EXPECT_EQ(f.position(), 4U);
    EXPECT_EQ(co_await f.read_line(), "two");
    EXPECT_EQ(co_await f.read_line(), "");
    EXPECT_EQ(f.position(), 10U);
    std::array<char, 2> room{};
    std::size_t n = co_await f.read_some(room);
    EXPECT_EQ(std::string(room.data(), n), "re");
    co_await f.write("XY");
    f.seek(0);
    const std::string said = co_await failure_of<io::too_long>(f.read_line(3));
    EXPECT_EQ(said, "reading " + path + ": a line does not end within 3 bytes");
    EXPECT_EQ(co_await f.read_line(4), "one");
    f.seek(10);
    EXPECT_EQ(co_await f.read_line(), "reXY") << "without an end of line";
    EXPECT_EQ(co_await f.read_line(), std::nullopt);
    n = co_await f.read_some(room);
    EXPECT_EQ(n, 0U);
    EXPECT_THROW(f.seek(std::uint64_t{1} << 63), std::invalid_argument);
  }(at("f")));
}

TEST_F(files, lines_are_those_that_are_there_after_a_change_elsewhere) {
  make("f", "aaa\nbbb\nccc");
  io::run([](std::string path) -> tutti::task<> {
    const io::file f = co_await io::file::open(path, io::file_mode::update);
    EXPECT_EQ(co_await f.read_line(), "aaa");
    co_await f.write_at("XXX", 4);
    EXPECT_EQ(co_await f.read_line(), "XXX");
    co_await f.truncate(9);
    EXPECT_EQ(co_await f.read_line(), "c");
    co_await f.write_at("more\n", 9);
    std::array<char, 16> room{};
    const std::size_t n = co_await f.read_some(room);
    EXPECT_EQ(std::string(room.data(), n), "more\n");
    co_await f.truncate(0);
    EXPECT_EQ(co_await f.read_line(), std::nullopt);
  }(at("f")));
}

TEST_F(files, lines_longer_than_a_piece) {
  std::string text(100'000, 'x');
  make("f", text.append("\nlast\n"));
  io::run([](std::string path) -> tutti::task<> {
    const io::file f = co_await io::file::open(path);
    const auto line = co_await f.read_line(100'001);
    EXPECT_TRUE(line == std::string(100'000, 'x'));
    EXPECT_EQ(co_await f.read_line(), "last");
    EXPECT_EQ(co_await f.read_line(), std::nullopt);
  }(at("f")));
}

TEST_F(files, are_appended_to) {
  make("f", "begin");
  io::run([](std::string path) -> tutti::task<> {
    const io::file a = co_await io::file::open(path, io::file_mode::append);
    const io::file b = co_await io::file::open(path, io::file_mode::append);
    co_await a.write("+a");
    co_await b.write("+b");
    co_await a.write("+a");
    const std::string said = co_await failure_of<std::logic_error>(a.write_at("x", 0));
    EXPECT_EQ(said, "write_at: file " + path + " was opened to append: use write");
  }(at("f")));
  EXPECT_EQ(content("f"), "begin+a+b+a");
}

TEST_F(files, errors_name_the_file) {
  make("f", "x");
  try {
    io::run(io::file::open(at("none")));
    ADD_FAILURE();
  } catch (const tutti::os_error& e) {
    EXPECT_EQ(e.code(), ENOENT);
    EXPECT_EQ(std::string(e.what()).find("opening " + at("none") + ": "), 0U) << e.what();
  }
  EXPECT_EQ(code_of(io::file::open(at("f"), io::file_mode::create)), EEXIST);
  EXPECT_EQ(code_of(io::file::open(at("."))), EISDIR);
  EXPECT_EQ(code_of(io::file::open(at("none/f"), io::file_mode::write)), ENOENT);
  EXPECT_THROW(static_cast<void>(io::run(io::file::open(""))), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(io::run(io::file::open("a\0b"s))), std::invalid_argument);
  const auto write_to_reader = [](std::string path) -> tutti::task<> {
    const io::file f = co_await io::file::open(path);
    const std::string why = path + ": it was opened to be read; open it with file_mode::update: Bad file descriptor";
    EXPECT_EQ(co_await failure_of<tutti::os_error>(f.write("x")), "writing " + why);
    EXPECT_EQ(co_await failure_of<tutti::os_error>(f.write_at("x", 0)), "writing " + why);
    EXPECT_EQ(co_await failure_of<tutti::os_error>(f.truncate(0)), "truncating " + why);
    co_await f.write("x");
  };
  EXPECT_EQ(code_of(write_to_reader(at("f"))), EBADF);
  const auto read_from_writer = [](std::string path) -> tutti::task<> {
    const io::file f = co_await io::file::open(path, io::file_mode::write);
    const std::string said = co_await failure_of<tutti::os_error>(f.read_line());
    EXPECT_EQ(said, "reading " + path + ": it was opened to be written; open it with file_mode::read or " +
                        "file_mode::update: Bad file descriptor");
    std::array<char, 1> room{};
    co_await f.read_at(room, 0);
  };
  EXPECT_EQ(code_of(read_from_writer(at("f"))), EBADF);
  const auto fill = []() -> tutti::task<> {
    const io::file f = co_await io::file::open("/dev/full", io::file_mode::write);
    co_await f.write("x");
  };
  EXPECT_EQ(code_of(fill()), ENOSPC);
}

TEST_F(files, what_is_none_is_refused_and_does_not_hang) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(code_of(io::file::open(at("pipe"))), EPERM);
  EXPECT_EQ(code_of(io::read_file(at("pipe"), 10)), EPERM);
  EXPECT_EQ(code_of(io::write_file(at("pipe"), "x")), EPERM);
  EXPECT_EQ(code_of(io::file::open(at("pipe"), io::file_mode::write)), EPERM) << "nobody reads it";
  const auto open_socket = [](std::string path) -> tutti::task<> {
    const io::listener listening = io::listen("unix:" + path);
    co_await io::file::open(path);
  };
  EXPECT_EQ(code_of(open_socket(at("socket"))), EPERM);
}

TEST_F(files, whole_ones_are_limited) {
  make("f", "12345");
  EXPECT_EQ(io::run(io::read_file(at("f"), 5)), "12345");
  EXPECT_THROW(static_cast<void>(io::run(io::read_file(at("f"), 4))), io::too_long);
  // Says that it is empty, and is not.
  EXPECT_EQ(io::run(io::read_file("/proc/self/comm", 100)).back(), '\n');
  EXPECT_THROW(static_cast<void>(io::run(io::read_file("/proc/self/comm", 2))), io::too_long);
  EXPECT_THROW(static_cast<void>(io::run(io::read_file("/dev/zero", 10'000))), io::too_long);
}

TEST_F(files, are_replaced_in_one_step) {
  make("f", "old");
  ASSERT_EQ(::chmod(at("f").c_str(), 0640), 0);
  fs::create_symlink("f", at("link"));
  io::run([](std::string path, std::string link) -> tutti::task<> {
    const io::file before = co_await io::file::open(path);
    co_await io::write_file(link, "new and longer");
    std::array<char, 32> room{};
    const std::size_t n = co_await before.read_at(room, 0);
    EXPECT_EQ(std::string(room.data(), n), "old") << "who has it open keeps the old one";
  }(at("f"), at("link")));
  EXPECT_EQ(content("f"), "new and longer");
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_EQ(fs::status(at("f")).permissions(), fs::perms(0640));
  EXPECT_EQ(names().size(), 2U) << "nothing is left behind";
}

TEST_F(files, keep_the_old_content_when_the_new_one_fails) {
  make("f", "old");
  fs::create_directory(at("d"));
  EXPECT_EQ(code_of(io::write_file(at("d"), "new")), EISDIR);
  EXPECT_EQ(code_of(io::write_file(at("none/f"), "new")), ENOENT);
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const int status = tutti_test::in_child([&] {
    // No file may have more than 100 bytes.
    const ::rlimit small{100, 100};
    ::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &small) != 0) return 2;
    return code_of(io::write_file(at("f"), std::string(1000, 'x'))) == EFBIG ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(content("f"), "old");
  EXPECT_EQ(names().size(), 2U);
}

TEST_F(files, who_gives_up_does_so_at_once_and_what_had_not_begun_never_does) {
  make("f", "old");
  io::run([](std::string path) -> tutti::task<> {
    io::file f = co_await io::file::open(path, io::file_mode::update);
    {
      const tutti_test::busy_helpers all;
      const std::string late = co_await failure_of<tutti::timed_out>(f.write_at("NEW", 0, 1ms));
      EXPECT_EQ(late, "writing " + path + " took longer than the limit of 1 ms");
      std::array<char, 4> room{};
      const std::string read_late = co_await failure_of<tutti::timed_out>(f.read_at(room, 0, 1ms));
      EXPECT_EQ(read_late, "reading " + path + " took longer than the limit of 1 ms");
      const std::string open_late =
          co_await failure_of<tutti::timed_out>(io::file::open(path, io::file_mode::read, 1ms));
      EXPECT_EQ(open_late, "opening " + path + " took longer than the limit of 1 ms");
      bool stopped = false;
      co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
        group.spawn([&]() -> tutti::task<> {
          const std::string said = co_await failure_of<tutti::cancelled>(f.size());
          stopped = said != "no such error";
        });
        co_await tutti::yield_now();
        group.stop();
      });
      EXPECT_TRUE(stopped);
    }
    co_await f.close();
  }(at("f")));
  EXPECT_EQ(content("f"), "old");
}

TEST_F(files, a_write_that_was_left_alone_uses_nothing_of_who_left_and_comes_before_later_ones) {
  make("f", "12345");
  io::run([](std::string path) -> tutti::task<> {
    io::file f = co_await io::file::open(path, io::file_mode::update);
    held_write slow;
    std::string bytes = "LATE";
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        co_await f.write_at(bytes, 0);
        ADD_FAILURE() << "it has been waited for";
      });
      co_await tutti::yield_now();
      slow.wait_until_inside();
      group.stop();
    });
    bytes = "gone";
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(f.write_at("now", 0));
      co_await tutti::yield_now();
      slow.go_on();
    });
    co_await f.close();
  }(at("f")));
  EXPECT_EQ(content("f"), "nowE5");
}

TEST_F(files, close_while_a_call_is_under_way_is_an_error_and_closes_it_later) {
  make("f", "12345");
  io::run([](std::string path) -> tutti::task<> {
    io::file f = co_await io::file::open(path, io::file_mode::update);
    held_write slow;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(f.write_at("abc", 0));
      co_await tutti::yield_now();
      slow.wait_until_inside();
      const std::string said = co_await failure_of<std::logic_error>(f.close());
      EXPECT_EQ(said, "file " + path + ": close: another call of it is under way: await that first");
      EXPECT_FALSE(f);
      slow.go_on();
    });
  }(at("f")));
  EXPECT_EQ(content("f"), "abc45");
}

TEST_F(files, one_coroutine_uses_the_position) {
  make("f", "one\ntwo\n");
  io::run([](std::string path) -> tutti::task<> {
    const io::file f = co_await io::file::open(path);
    const tutti_test::busy_helpers all;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        const auto line = co_await f.read_line();
        ADD_FAILURE() << line.value_or("none");
      });
      co_await tutti::yield_now();
      std::array<char, 4> room{};
      const std::string said = co_await failure_of<std::logic_error>(f.read_some(room));
      EXPECT_NE(said, "no such error");
      EXPECT_THROW(f.seek(0), std::logic_error);
      group.stop();
    });
    EXPECT_EQ(f.position(), 0U);
  }(at("f")));
}

TEST_F(files, many_at_once_and_off_loops) {
  const std::string path = at("f");
  tutti::sync_wait([](std::string name) -> tutti::task<> {
    const io::file f = co_await io::file::open(name, io::file_mode::update);
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      for (char c = 0; c < 50; ++c) {
        group.spawn([&f, c]() -> tutti::task<> {
          const std::string own(100, static_cast<char>('0' + c));
          co_await f.write_at(own, static_cast<std::uint64_t>(c) * 100);
          std::array<char, 100> room{};
          co_await f.read_at(room, static_cast<std::uint64_t>(c) * 100);
          EXPECT_EQ(std::string(room.data(), room.size()), own);
        });
      }
      co_return;
    });
    EXPECT_EQ(co_await f.size(), 5000U);
  }(path));
}

TEST_F(files, are_closed_once) {
  make("f", "x");
  io::run([](std::string path) -> tutti::task<> {
    io::file f = co_await io::file::open(path);
    co_await f.close();
    EXPECT_THROW(static_cast<void>(f.close()), tutti::closed);
    EXPECT_THROW(static_cast<void>(f.position()), tutti::closed);
    EXPECT_EQ(f.descriptor(), -1);
  }(at("f")));
}

// What the parent's helpers still do is done there.
TEST_F(files, in_a_forked_child_do_not_wait_for_calls_that_the_parent_has_left_alone) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  make("f", "12345");
  io::file f = io::run(io::file::open(at("f"), io::file_mode::update));
  held_write slow;
  io::run([](const io::file& open, held_write& held) -> tutti::task<> {
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(open.write_at("LATE", 0));
      co_await tutti::yield_now();
      held.wait_until_inside();
      group.stop();
    });
  }(f, slow));
  EXPECT_EQ(tutti_test::in_child([&] {
              if (io::run(f.size()) != 5) return 1;
              io::run(f.close());
              return 0;
            }),
            0);
  slow.go_on();
  io::run(f.close());
  EXPECT_EQ(content("f"), "LATE5");
}

TEST_F(files, in_a_forked_child) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  make("f", "from the parent");  // the helpers have been started
  const std::string path = at("f");
  EXPECT_EQ(tutti_test::in_child([&] {
              if (io::run(io::read_file(path, 100)) != "from the parent") return 1;
              io::run(io::write_file(path, "from the child"));
              return 0;
            }),
            0);
  EXPECT_EQ(content("f"), "from the child") << "the parent's go on";
}

}  // namespace

// The system's, as this program sees it.
extern "C" ::ssize_t pwrite(int fd, const void* bytes, std::size_t size, ::off_t at) {
  if (held_write* const held = holder.exchange(nullptr)) held->stay();
  return ::syscall(SYS_pwrite64, fd, bytes, size, at);
}
