// client_checks: a client in C++ calls tasks in Python, and builds canvases over both languages.
#include <unistd.h>

#include "client_checks.hpp"

#include <bit>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <tutti/base/error.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/signature.hpp>
#include <vector>

namespace interop {

namespace cluster = tutti::cluster;
using namespace std::chrono_literals;
using cluster::chain;
using cluster::chord;
using cluster::group;
using cluster::json;
using cluster::kw;
using cluster::send_task;
using cluster::signature;
using number = std::int64_t;
using numbers = std::vector<std::int64_t>;

// A function of ours that says what a task in Python takes and gives; it runs there.
number python_add(number a, number b) { return a - b; }

namespace {

const cluster::function declared_add{tutti::fn<python_add>, {.name = "py.add", .queue = "py", .params = {"a", "b"}}};

std::string_view queue_of(std::string_view task) { return task.starts_with("py.") ? "py" : "cpp"; }

template <class... A>
signature s(std::string_view task, const A&... arguments) {
  return signature(task, arguments...).set({.queue = queue_of(task)});
}

template <class R, class... A>
R call(std::string_view task, const A&... arguments) {
  return send_task<R>(task, {.queue = queue_of(task)}, arguments...).get(limit());
}

template <class R>
R run(const signature& canvas) {
  return canvas.delay<R>().get(limit());
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace

void check_values() {
  gives<number>("a declared function", 5, [] { return declared_add.delay(2, 3).get(limit()); });
  gives<number>("keywords", 42, [] { return call<number>("py.add", kw("b", 2), kw("a", 40)); });
  gives<number>("both", 42, [] { return call<number>("py.add", 40, kw("b", 2)); });
  gives<std::string>("what Python sees", R"([[1,2.5,"x",null,true,[1]],{"k":{"a":[]}}])", [] {
    std::string text = call<json>("py.echo", 1, 2.5, "x", std::optional<int>(), true, numbers{1},
                                  kw("k", std::map<std::string, numbers>{{"a", {}}}))
                           .text;
    std::erase(text, ' ');
    return text;
  });
  for (const std::string& text : {std::string(), std::string("päñ 日本 😀"), std::string("\"\\/\b\f\n\r\t"),
                                  std::string("\0\x1f", 2), std::string("\u2028\ufeff")}) {
    gives<std::string>("text", text, [&] { return call<std::string>("py.echo", text); });
  }
  for (const number one : {number{0}, number{-1}, (number{1} << 53) + 1, std::numeric_limits<number>::max(),
                           std::numeric_limits<number>::min()}) {
    gives<number>("whole number", one, [&] { return call<number>("py.echo", one); });
  }
  gives<std::uint64_t>("unsigned", ~std::uint64_t{0}, [] { return call<std::uint64_t>("py.echo", ~std::uint64_t{0}); });
  for (const double one : {0.1, -0.0, 1.0 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e22, 1e23,
                           9007199254740993.0, 4.35}) {
    gives<std::uint64_t>("double", std::bit_cast<std::uint64_t>(one),
                         [&] { return std::bit_cast<std::uint64_t>(call<double>("py.echo", one)); });
  }
  gives<std::string>("more digits than any type of ours", "1267650600228229401496703205376",
                     [] { return call<json>("py.echo", json{"1267650600228229401496703205376"}).text; });
  gives<std::string>("a megabyte", std::string(1 << 20, 'x') + "é",
                     [] { return call<std::string>("py.echo", std::string(1 << 20, 'x') + "é"); });
}

void check_canvases() {
  gives<number>("chain", 21, [] { return run<number>(s("py.add", 2, 3) | s("py.mul", 4) | s("py.add", 1)); });
  gives<number>("mixed chain", 42, [] {
    return run<number>(s("py.add", 2, 3) | s("tasks.mul", 4) | s("py.add", 1) | s("tasks.add", 21));
  });
  gives<number>("immutable", 9,
                [] { return run<number>(s("py.add", 2, 3) | s("tasks.add", 4, 4).immutable() | s("py.add", 1)); });
  gives<numbers>("group", {1, 3, 5}, [] {
    return group(s("py.add", 0, 1), s("tasks.add", 1, 2), s("py.add", 2, 3)).delay<number>().get(limit());
  });
  for (const auto& [header, unused1] : both) {
    for (const auto& [body, unused2] : both) {
      for (const bool mixed : {false, true}) {
        std::vector<signature> parts;
        for (int i = 0; i < 6; ++i) {
          const std::string_view language = mixed ? both[i % 2].name : header;
          parts.push_back(s(std::string(language) + "add", i, i));
        }
        gives<number>("chord " + std::string(header) + (mixed ? " and the other" : "") + " -> " + std::string(body), 30,
                      [&] { return run<number>(chord(parts, s(std::string(body) + "xsum"))); });
      }
    }
  }
  gives<std::string>("a chord keeps the order", "abcdef", [] {
    std::vector<signature> parts;
    const std::string letters = "abcdef";
    for (std::size_t i = 0; i < letters.size(); ++i) {
      parts.push_back(s(i % 2 == 0 ? "py.echo" : "tasks.echo_text", letters.substr(i, 1)));
    }
    return run<std::string>(chord(parts, s("tasks.join")));
  });
  gives<number>("an empty chord", 0, [] { return run<number>(chord(std::vector<signature>{}, s("py.xsum"))); });
  gives<number>("a chord of one", 5, [] { return run<number>(chord({s("tasks.add", 2, 3)}, s("py.xsum"))); });
  gives<number>("a chord of many", 100 * 99 / 2, [] {
    std::vector<signature> parts;
    for (int i = 0; i < 100; ++i) parts.push_back(s(i % 2 == 0 ? "py.add" : "tasks.add", i, 0));
    return run<number>(chord(parts, s("tasks.xsum")));
  });
  gives<number>("a chord of chains", 22, [] {
    return run<number>(
        chord({s("tasks.add", 1, 2) | s("py.mul", 3), s("py.add", 1, 2) | s("tasks.mul", 4), s("tasks.add", 0, 1)},
              s("py.xsum")));
  });
  gives<numbers>("chain, group, task, group", {18, 27}, [] {
    return run<numbers>(s("tasks.add", 1, 2) | group(s("tasks.add", 1), s("py.add", 2)) | s("py.xsum") |
                        group(s("py.mul", 2), s("tasks.mul", 3)));
  });
  gives<number>("a canvas that came as JSON", 42, [] {
    const signature made = s("tasks.add", 2, 3) | s("py.mul", 4) | s("py.add", 22);
    return run<number>(signature::from_json(made.json()));
  });
}

void check_failures() {
  throws<std::invalid_argument>("ValueError", "bad: ä", [] { call<void>("py.fail", "ValueError", "bad: ä"); });
  throws<std::out_of_range>("IndexError", "far", [] { call<void>("py.fail", "IndexError", "far"); });
  throws<std::runtime_error>("RuntimeError", "broken", [] { call<void>("py.fail", "RuntimeError", "broken"); });
  try {
    call<void>("py.fail", "Strange", "very");
    complain("a class of Python's program", "did not throw");
  } catch (const tutti::remote_error& thrown) {
    if (thrown.type().find("Strange") == std::string::npos ||
        std::string_view(thrown.what()).find("very") == std::string_view::npos) {
      complain("a class of Python's program", std::string(thrown.type()) + ": " + thrown.what());
    }
  } catch (const std::exception& thrown) {
    complain("a class of Python's program", std::string("threw another class: ") + thrown.what());
  }
  throws<std::exception>("arguments that do not fit", "add", [] { call<number>("py.add", 1); });
  throws<std::exception>("types that do not fit", "str", [] { call<number>("py.add", 1, "x"); });
  throws<std::exception>("a task that nobody has", "no_such_task", [] { call<number>("tasks.no_such_task", 1); });
  throws<tutti::decode_error>("a result of another type", "", [] { call<number>("py.echo", "text"); });
  throws<tutti::timed_out>("a wait that is too short", "",
                           [] { send_task<number>("py.add", {.countdown = 30s, .queue = "nobody"}, 1, 2).get(20ms); });
  throws<std::invalid_argument>("a chain that fails", "no",
                                [] { run<number>(s("tasks.fail", "no") | s("py.add", 1) | s("tasks.add", 1)); });
  for (const auto& failing : {s("py.fail", "ValueError", "boom"), s("tasks.fail", "boom")}) {
    for (const std::string_view body : {"py.xsum", "tasks.xsum"}) {
      throws<std::exception>("a chord with a part that fails", "boom",
                             [&] { run<number>(chord({s("tasks.add", 1, 1), failing, s("py.add", 1, 1)}, s(body))); });
    }
  }
  // Of these ends Celery's workers tell nobody but those that look at what came before.
  for (const std::string_view add : {"py.add", "tasks.add"}) {
    throws<tutti::cancelled>("a chain that expires", "", [&] {
      const auto past = std::chrono::system_clock::now() - 5s;
      (s(add, 1, 2) | s("py.add", 3)).apply_async<number>({.expires = past, .queue = queue_of(add)}).get(limit());
    });
  }
  for (const auto& failing : {s("py.fail", "ValueError", "boom"), s("tasks.fail", "boom")}) {
    for (const std::string_view body : {"py.xsum", "tasks.xsum"}) {
      throws<std::exception>("a chord in a chain with a part that fails", "boom",
                             [&] { run<number>(group(failing, s("py.add", 1, 1)) | s(body) | s("py.add", 1)); });
      throws<std::exception>("a chord to a chain with a part that fails", "boom",
                             [&] { run<number>(chord({failing, s("py.add", 1, 1)}, s(body) | s("py.add", 1))); });
    }
  }
  // What waits for a chord that can no longer come, whoever finds that out.
  for (const auto& failing : {s("py.fail", "ValueError", "boom"), s("tasks.fail", "boom")}) {
    for (const std::string_view body : {"py.xsum", "tasks.xsum"}) {
      throws<std::invalid_argument>("a chain that fails before its chord", "boom",
                                    [&] { run<number>(failing | group(s("py.add", 1), s("tasks.add", 1)) | s(body)); });
    }
  }
  for (const std::string_view failing : {"py.fail", "tasks.fail_as"}) {
    for (const std::string errback : {"py.failed", "tasks.failed"}) {
      const std::string_view kind = failing == "py.fail" ? "RuntimeError" : "runtime_error";
      const auto result =
          send_task<json>(failing, {.queue = queue_of(failing), .link_error = s(errback)}, kind, "boom");
      const std::string line = errback + " " + result.id();
      wait_until("errback " + std::string(failing) + " -> " + errback, [&] {
        for (const std::string& one : lines_of("failed.txt")) {
          if (one == line) return true;
        }
        return false;
      });
    }
  }
}

void check_options(const std::string& folder) {
  const auto path = [&](std::string_view name) { return folder + "/" + std::string(name); };
  const double sent = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (const std::string task : {"py.now", "tasks.now"}) {
    const auto later = send_task<double>(task, {.countdown = 500ms, .queue = queue_of(task)});
    const auto then =
        send_task<double>(task, {.eta = std::chrono::system_clock::now() + 500ms, .queue = queue_of(task)});
    holds("countdown of " + task, [&] { return later.get(limit()) >= sent + 0.49; });
    holds("eta of " + task, [&] { return then.get(limit()) >= sent + 0.49; });
  }
  for (const std::string mark : {"py.mark", "tasks.mark"}) {
    const auto expired = send_task<void>(
        mark, {.expires = std::chrono::system_clock::now() - 5s, .queue = queue_of(mark)}, path("expired"), "ran");
    throws<tutti::cancelled>("expired " + mark, "", [&] { expired.get(limit()); });
    gives<std::string>("state of an expired " + mark, "REVOKED", [&] { return expired.state(); });
    const auto ignored = send_task<void>(mark, {.queue = queue_of(mark), .ignore_result = true}, path(mark), "ran");
    throws<std::logic_error>("get of an ignored " + mark, "", [&] { ignored.get(1s); });
    wait_until("ignored " + mark, [&] { return lines_of(path(mark)).size() == 1; });
    gives<std::string>("state of an ignored " + mark, "PENDING", [&] { return ignored.state(); });
  }
  holds("nothing expired has run", [&] { return lines_of(path("expired")).empty(); });

  for (const std::string note : {"py.note", "tasks.note"}) {
    for (const std::string echo : {"py.echo", "tasks.echo_text"}) {
      const std::string notes = path(echo + note);
      send_task<json>(echo, {.queue = queue_of(echo), .link = s(note, notes)}, "grüße");
      wait_until("link " + echo + " -> " + note, [&] { return lines_of(notes) == std::vector<std::string>{"grüße"}; });
    }
  }
  for (const std::string task : {"py.progress", "tasks.progress"}) {
    const std::string go_on = path("go on " + task);
    const auto result = send_task<std::string>(task, {.queue = queue_of(task)}, go_on);
    wait_until("progress of " + task, [&] { return result.state() == "PROGRESS"; });
    gives<std::string>("info of " + task, R"({"done":1,"of":2})", [&] {
      std::string text = result.info();
      std::erase(text, ' ');
      return text;
    });
    std::ofstream(go_on).put('x');
    gives<std::string>("result of " + task, "done", [&] { return result.get(limit()); });
  }
  for (const std::string task : {"py.flaky", "tasks.flaky"}) {
    gives<number>("retries of " + task, 3, [&] { return call<number>(task, 3); });
  }
  // Queues that nobody looks at until all is sent: bigger is sooner, Celery's workers see it so too.
  const auto order = path("order");
  for (const int priority : {0, 5, 9, 3, 9}) {
    send_task<json>("py.mark", {.priority = priority, .queue = "urgent-py"}, order, std::to_string(priority));
  }
  // Revoked before anybody takes it; the worker knows, as it runs.
  const auto revoked = send_task<void>("py.mark", {.countdown = 2s, .queue = "py"}, path("revoked"), "ran");
  revoked.revoke();
  throws<tutti::cancelled>("revoked", "", [&] { revoked.get(limit()); });
  holds("the revoked one has not run", [&] { return lines_of(path("revoked")).empty(); });
  gives<number>("a number that is no UUID", 3, [] {
    const auto result = send_task<number>("py.add", {.queue = "py", .id = "order 17/ä"}, 1, 2);
    if (result.id() != "order 17/ä") throw std::runtime_error("its id is " + result.id());
    return result.get(limit());
  });
  gives<number>("a result by its id", 3, [] { return cluster::result<number>("order 17/ä").get(limit()); });
  gives<std::string>("forgotten", "PENDING", [] {
    cluster::result<number>("order 17/ä").forget();
    return cluster::result<number>("order 17/ä").state();
  });
}

}  // namespace interop
