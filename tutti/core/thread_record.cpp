#include <tutti/core/thread_record.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/task_frame.hpp>

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <mutex>

namespace tutti {
namespace {

// Outlives the record: destructors of other thread-local or static objects may wait after it is gone.
constinit thread_local thread_record* current_record = nullptr;
constinit thread_local bool record_gone = false;

struct all_records {
  // Records lie in the memory of their threads, which a child uses again.
  all_records() {
    ::pthread_atfork(nullptr, nullptr, [] { thread_record::forget_others(current_record); });
  }
  std::mutex mutex;
  thread_record* head = nullptr;
};

all_records& records() { return process_wide<all_records>(); }

std::string name_of_thread(long id) {
  std::ifstream in("/proc/self/task/" + std::to_string(id) + "/comm");
  std::string name;
  std::getline(in, name);
  return name;
}

}  // namespace

thread_record::thread_record() : thread_id_(::syscall(SYS_gettid)) {
  auto& all = records();
  const std::lock_guard lock(all.mutex);
  next_ = all.head;
  if (next_ != nullptr) next_->previous_ = this;
  all.head = this;
}

thread_record::~thread_record() {
  auto& all = records();
  const std::lock_guard lock(all.mutex);
  (previous_ == nullptr ? all.head : previous_->next_) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

namespace {

struct record_owner {
  thread_record record;
  record_owner() { current_record = &record; }
  ~record_owner() {
    current_record = nullptr;
    record_gone = true;
  }
};

}  // namespace

thread_record& this_thread_record() {
  if (current_record == nullptr) [[unlikely]] {
    if (record_gone) {
      current_record = new thread_record;  // leaked: the thread is about to end
    } else {
      thread_local record_owner owner;
      static_cast<void>(owner);
    }
  }
  return *current_record;
}

thread_record::waiting::waiting(const char* what, const place& here, const void* source) noexcept
    : record_(this_thread_record()), outer_(record_.what_.load(std::memory_order_relaxed)), source_(source) {
  record_.file_.store(here.file, std::memory_order_relaxed);
  record_.function_.store(here.function, std::memory_order_relaxed);
  record_.line_.store(here.line, std::memory_order_relaxed);
  record_.task_.store(this_frame == nullptr ? "" : this_frame->name, std::memory_order_relaxed);
  record_.since_.store(std::chrono::steady_clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  record_.what_.store(what, std::memory_order_release);  // last: who reads it reads the rest
  if (source_ == nullptr || !tracing()) return;
  trace_point(trace_kind::wait_begin, source_, what);
  if (here.line != 0) trace_point(trace_kind::wait_place, trace_text(here.file), here.line);
}

thread_record::waiting::~waiting() {
  if (source_ != nullptr) trace_point(trace_kind::wait_end, source_, &record_.sleeper());
  record_.what_.store(outer_, std::memory_order_relaxed);
}

void thread_record::forget_others(thread_record* own) noexcept {
  records().head = own;
  if (own == nullptr) return;
  own->next_ = own->previous_ = nullptr;
  own->thread_id_ = ::syscall(SYS_gettid);
}

std::vector<thread_record::view> thread_record::all_waiting() {
  std::vector<view> found;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  auto& all = records();
  const std::lock_guard lock(all.mutex);
  for (const thread_record* r = all.head; r != nullptr; r = r->next_) {
    const char* what = r->what_.load(std::memory_order_acquire);
    if (what == nullptr) continue;
    found.push_back({r->thread_id_, name_of_thread(r->thread_id_), r->task_.load(std::memory_order_relaxed), what,
                     place{r->file_.load(std::memory_order_relaxed), r->line_.load(std::memory_order_relaxed),
                           r->function_.load(std::memory_order_relaxed)},
                     now - std::chrono::nanoseconds(r->since_.load(std::memory_order_relaxed))});
  }
  return found;
}

}  // namespace tutti
