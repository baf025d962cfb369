// thread_record: one per thread that ever waited: its sleeping place, and what it waits for now.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/core/parker.hpp>

#include <string>
#include <vector>

namespace tutti {

/// What a thread waits for, for `dump`. Written by the thread itself, read by anyone; the parts are read one by one, so
/// a reader may see a mix of two waits: good enough to look at.
class thread_record {
 public:
  thread_record();
  ~thread_record();
  thread_record(const thread_record&) = delete;
  thread_record& operator=(const thread_record&) = delete;

  parker& sleeper() noexcept { return *lease_; }
  /// The system's number of the thread.
  long thread_id() const noexcept { return thread_id_; }

  /// Shows a wait while it lives. `what` and the place's strings must be literals. `source`: what is waited for, for
  /// trace points; nullptr: the caller has them itself.
  class waiting {
   public:
    waiting(const char* what, const place& here, const void* source = nullptr) noexcept;
    ~waiting();
    waiting(const waiting&) = delete;
    waiting& operator=(const waiting&) = delete;

   private:
    thread_record& record_;
    const char* outer_;
    const void* source_;
  };

  struct view {
    long thread_id;
    std::string thread_name;
    std::string task;  ///< what it runs, or empty
    std::string waits_for;
    place where;
    std::chrono::nanoseconds since;
  };
  /// All threads that wait at this moment.
  static std::vector<view> all_waiting();

  // For a forked child: its one thread is the only one with a record.
  static void forget_others(thread_record* own) noexcept;

 private:
  parker_lease lease_;
  long thread_id_;
  std::atomic<const char*> what_{nullptr};
  std::atomic<const char*> task_{nullptr};
  std::atomic<const char*> file_{nullptr};
  std::atomic<const char*> function_{nullptr};
  std::atomic<unsigned> line_{0};
  std::atomic<std::int64_t> since_{0};
  thread_record* next_ = nullptr;
  thread_record* previous_ = nullptr;
};

/// This thread's record; made on first use.
thread_record& this_thread_record();
/// This thread's sleeping place.
inline parker& this_parker() { return this_thread_record().sleeper(); }

}  // namespace tutti
