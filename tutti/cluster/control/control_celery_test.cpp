// Remote control and events with Celery's own client and command line, over a real Redis.
#include <tutti/cluster/control/control_panel.hpp>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/fake_control_target.hpp>
#include <tests/support/redis_server.hpp>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

std::string output_of(const std::string& command) {
  std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string output;
  char piece[512];
  for (std::size_t n = 0; (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) output.append(piece, n);
  ::pclose(pipe);
  return output;
}

// One interpreter does it all: starting one takes longer than all of the rest.
constexpr const char* script = R"python(
import sys, threading
from celery import Celery
app = Celery('tasks', broker=sys.argv[1])
inspect = app.control.inspect(timeout=30, limit=1)
assert inspect.ping() == {'one@h': {'ok': 'pong'}}, inspect.ping()
stats = inspect.stats()['one@h']
assert stats['pool']['max-concurrency'] == 2 and stats['total'] == {'tasks.add': 3, 'tasks.nap': 4}, stats
assert stats['broker']['transport'] == 'redis' and 'hidden' not in str(stats), stats
active = inspect.active()['one@h']
assert [t['id'] for t in active] == ['a-1'] and active[0]['args'] == [6], active
assert inspect.reserved() == {'one@h': []}
assert inspect.scheduled() == {'one@h': []}
assert [q['name'] for q in inspect.active_queues()['one@h']] == ['celery', 'math']
assert inspect.query_task('a-1')['one@h']['a-1'][0] == 'active'
assert inspect.conf()['one@h']['worker_concurrency'] == 2
assert 'tutti' in inspect.report()['one@h']['ok']
assert inspect.clock()['one@h']['clock'] > 0
def tell(command, **arguments):
    return app.control.broadcast(command, arguments=arguments, reply=True, timeout=30, limit=1)[0]['one@h']
assert tell('revoke', task_id=['x']) == {'ok': 'tasks x flagged as revoked'}
assert tell('rate_limit', task_name='tasks.add', rate_limit='5/m') == {'ok': 'new rate limit set successfully'}
assert 'error' in tell('nonsense')
assert app.control.broadcast('ping', reply=True, timeout=30, limit=1, pattern='o*@h', matcher='glob')
assert app.control.broadcast('ping', reply=True, timeout=30, destination=['one@h'])

# What a worker does as it begins (mingle), and its state of revoked tasks.
from celery.worker import state
reply = inspect.hello('celery@other', {'y': [1.5, 'y']})['one@h']
state.revoked.update(reply['revoked'])
assert 'x' in state.revoked and 'y' in state.revoked and reply['clock'] > 0, reply

# Events, as Celery's own monitors take them.
seen = []
with app.connection_for_read() as connection:
    def heard(event):
        seen.append(event)
        names = {e['type'] for e in seen}
        if {'task-received', 'task-succeeded', 'worker-heartbeat'} <= names:
            receiver.should_stop = True
    receiver = app.events.Receiver(connection, handlers={'*': heard})
    def ready(*args):
        tell('enable_events')
    receiver_consume_ready = receiver.on_consume_ready
    def on_ready(*args, **kwargs):
        receiver_consume_ready(*args, **kwargs)
        threading.Thread(target=ready).start()
    receiver.on_consume_ready = on_ready
    monitor = app.events.State()
    receiver.capture(limit=None, timeout=30, wakeup=True)
    for event in seen:
        monitor.event(event)
task = monitor.tasks['t-1']
assert task.state == 'SUCCESS' and task.name == 'tasks.add' and task.result == '5', task
worker = monitor.workers['one@h']
assert worker.alive and worker.sw_ident == 'tutti' and worker.processed == 7, worker
assert tell('shutdown') == {'ok': 'shutting down'}
print('fine')
)python";

// Sends the events of a task when it is told to send any.
class eventful : public tutti_test::fake_control_target {
 public:
  using fake_control_target::fake_control_target;
  event_sender* sender = nullptr;
  void enable_events(bool on) override {
    fake_control_target::enable_events(on);
    const std::string id = "\"t-1\"";
    sender->send("task-received",
                 {{"uuid", id}, {"name", "\"tasks.add\""}, {"args", "\"(2, 3)\""}, {"kwargs", "\"{}\""}});
    sender->send("task-started", {{"uuid", id}});
    sender->send("task-succeeded", {{"uuid", id}, {"result", "\"5\""}, {"runtime", "0.5"}});
  }
};

TEST(ControlCelery, PythonAsksAndHears) {
  const tutti_test::redis_server redis({.password = "hidden"});
  const app where({.broker = redis.url()});
  event_sender events(where.tasks(), "one@h");
  eventful target(events);
  target.sender = &events;
  shown_task running;
  running.message.id = "a-1";
  running.message.task = "tasks.nap";
  running.message.args = "[6]";
  running.started = std::chrono::system_clock::now();
  target.running = {running};
  const control_panel panel(where, "one@h", target, events, 100ms);

  const std::string file = testing::TempDir() + "tutti_control_" + std::to_string(::getpid()) + ".py";
  std::ofstream(file) << script;
  EXPECT_EQ(output_of("/usr/bin/python3 " + file + " " + redis.url()), "fine\n");
  std::remove(file.c_str());
  EXPECT_THAT(target.said(), testing::ElementsAre("revoke x", "rate_limit tasks.add 5/m", "revoke y", "shutdown warm"));
}

// Our client asks Celery's own code for workers (kombu's mailbox, with the commands of celery.worker.control).
constexpr const char* celery_worker = R"python(
import sys
from celery import Celery
app = Celery('tasks', broker=sys.argv[1])
with app.connection_for_read() as connection:
    node = app.control.mailbox(connection).Node('celery@h', channel=connection.default_channel)
    node.handlers = {'ping': lambda state, **kw: {'ok': 'pong'}, 'stop': lambda state, **kw: sys.exit(0)}
    with node.listen():
        try:
            while True:
                connection.drain_events(timeout=0.1)
        except OSError:
            print('ready', flush=True)  # it has subscribed when it has looked
        while True:
            connection.drain_events(timeout=60)
)python";

TEST(ControlCelery, WeAskPython) {
  const tutti_test::redis_server redis;
  const app where({.broker = redis.url()});
  const std::string file = testing::TempDir() + "tutti_node_" + std::to_string(::getpid()) + ".py";
  std::ofstream(file) << celery_worker;
  std::FILE* const pipe = ::popen(("/usr/bin/python3 " + file + " " + redis.url() + " 2>&1").c_str(), "r");
  char line[64] = {};
  ASSERT_NE(std::fgets(line, sizeof line, pipe), nullptr);
  ASSERT_STREQ(line, "ready\n");
  EXPECT_THAT(ask_workers(where, "ping", "{}", {"celery@h"}, 30s),
              testing::ElementsAre(testing::Pair("celery@h", R"({"ok": "pong"})")));
  tell_workers(where, "stop", "{}", {"celery@h"});
  EXPECT_EQ(::pclose(pipe), 0);
  std::remove(file.c_str());
}

}  // namespace
}  // namespace tutti::cluster
