#include <tutti/base/at_fork.hpp>
#include <tutti/core/task_frame.hpp>
#include <tutti/io/inside/thread_stack.hpp>

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

namespace tutti::io::detail {
namespace {

constexpr int most_frames = 64;

// One question at a time, under the_handler().one_at_a_time. Its number is in the signal too, so that a handler that
// comes late knows that it is not asked any more. Who takes `state` from "asked" has the rest: the handler, or who
// gives up.
struct question {
  std::atomic<std::uint64_t> state{0};  // 4 n: none; 4 n + 1: asked; 4 n + 2: being answered; 4 n + 3: answered
  const tutti::detail::loop_poller* poller = nullptr;
  std::uint64_t turn = 0;
  bool went_on = false;
  const char* task = nullptr;
  void* frames[most_frames] = {};
  int count = 0;
  void* interrupted = nullptr;
  std::atomic<std::uint64_t> came{0};  // signals
};
constinit question asked_now;
constinit std::uint64_t last_question = 0;

// Where the thread was when the signal came: the first frame that is not the handler's.
void* interrupted_at(const void* context) noexcept {
  const auto& machine = static_cast<const ::ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<void*>(machine.gregs[REG_RIP]);
#else
  return reinterpret_cast<void*>(machine.pc);
#endif
}

// Async-signal-safe: backtrace() is, once it has loaded what it needs, where the C library finds unwind tables without
// a lock (glibc 2.35 and later).
void answer_question(int /*signal*/, ::siginfo_t* info, void* context) {
  const int error = errno;
  question& q = asked_now;
  const auto number = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(info->si_value.sival_ptr));
  std::uint64_t expected = 4 * number + 1;
  if (info->si_code == SI_QUEUE && info->si_pid == ::getpid() &&
      q.state.compare_exchange_strong(expected, expected + 1, std::memory_order_acq_rel)) {
    // On the one thread that changes it.
    q.went_on = q.poller->turns() != q.turn;
    if (!q.went_on) {
      q.task = this_frame == nullptr ? nullptr : this_frame->name;
      q.count = ::backtrace(q.frames, most_frames);
      q.interrupted = interrupted_at(context);
    }
    q.state.store(4 * number + 3, std::memory_order_release);
  }
  q.came.fetch_add(1, std::memory_order_release);
  errno = error;
}

struct handler {
  // Not held at forks: it is taken under one that is. A child makes it anew.
  std::mutex one_at_a_time;
  int users = 0;
  int signal = 0;  // 0: not installed, or none was free
  std::uint64_t sent = 0;

  handler() {
    ::pthread_atfork(nullptr, nullptr, [] {
      handler& here = process_wide<handler>();
      new (&here.one_at_a_time) std::mutex;
      here.users = 0;
      here.sent = 0;
      asked_now.came.store(0, std::memory_order_relaxed);
      asked_now.state.store(0, std::memory_order_relaxed);
      here.restore();
    });
  }

  // Others may have installed theirs meanwhile, which stays; and put this one back when nobody uses it any more.
  static bool is_ours(int number) noexcept {
    struct ::sigaction now{};
    return ::sigaction(number, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
           now.sa_sigaction == answer_question;
  }

  void install() {
    if (signal != 0) return;
    void* warm[1];
    ::backtrace(warm, 1);  // loads the unwinder
    for (int n = SIGRTMAX - 1; n >= SIGRTMIN && signal == 0; --n) {
      struct ::sigaction now{};
      if (::sigaction(n, nullptr, &now) != 0 || (now.sa_handler != SIG_DFL && !is_ours(n))) continue;
      struct ::sigaction ours{};
      ours.sa_sigaction = answer_question;
      ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
      if (::sigaction(n, &ours, nullptr) == 0) signal = n;
    }
  }
  // Not while a signal is still on its way to a thread: without the handler it would end the program.
  void restore() noexcept {
    if (signal == 0 || asked_now.came.load(std::memory_order_acquire) != sent) return;
    const int number = std::exchange(signal, 0);
    if (is_ours(number)) ::signal(number, SIG_DFL);
  }
};
handler& the_handler() { return process_wide<handler>(); }

}  // namespace

stack_asker::stack_asker() {
  handler& h = the_handler();
  const std::lock_guard lock(h.one_at_a_time);
  if (h.users++ == 0) h.install();
}

stack_asker::~stack_asker() {
  handler& h = the_handler();
  const std::lock_guard lock(h.one_at_a_time);
  if (h.users == 0) return;  // in a forked child
  if (--h.users == 0) h.restore();
}

asked ask_stack(const tutti::detail::loop_poller& poller, std::uint64_t turn, thread_stack& answer) {
  handler& h = the_handler();
  const std::lock_guard lock(h.one_at_a_time);
  const auto thread = static_cast<::pid_t>(poller.thread());
  if (thread == 0 || poller.turns() != turn) return asked::went_on;
  if (h.signal == 0 || !handler::is_ours(h.signal)) return asked::no_answer;
  question& q = asked_now;
  const std::uint64_t number = ++last_question;
  q.poller = &poller;
  q.turn = turn;
  q.state.store(4 * number + 1, std::memory_order_release);
  ::siginfo_t info{};
  info.si_signo = h.signal;
  info.si_code = SI_QUEUE;
  info.si_pid = ::getpid();
  info.si_uid = ::getuid();
  info.si_value.sival_ptr = reinterpret_cast<void*>(static_cast<std::uintptr_t>(number));
  bool given_up = ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), thread, h.signal, &info) != 0;
  if (!given_up) ++h.sent;
  const auto late = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  while (q.state.load(std::memory_order_acquire) != 4 * number + 3) {
    std::uint64_t expected = 4 * number + 1;
    if (given_up && q.state.compare_exchange_strong(expected, 4 * number, std::memory_order_acq_rel))
      return poller.turns() == turn ? asked::no_answer : asked::went_on;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    given_up = given_up || std::chrono::steady_clock::now() > late;
  }
  if (q.went_on) return asked::went_on;
  answer.task = q.task;
  void** const end = q.frames + q.count;
  void** const first = std::find(q.frames, end, q.interrupted);
  answer.frames.assign(first == end ? q.frames : first, end);
  return asked::answered;
}

}  // namespace tutti::io::detail
