// wire_executor: an executor that shares no memory with its caller: each call crosses as bytes.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <tutti/base/exception_codec.hpp>
#include <tutti/core/executor.hpp>
#include <utility>

namespace tutti_test {

/// Runs calls one by one on a thread of its own, which gets bytes and gives bytes.
class wire_executor final : public tutti::executor {
 public:
  struct far_side {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<tutti::call> queue;
    bool closed = false;
    bool garbled = false;   // answers are cut short
    bool holding = false;   // nothing leaves
    bool answering = true;  // nothing comes back
    std::atomic<int> crossed{0};
    std::atomic<bool> entered{false};
    std::jthread thread;

    void serve() {
      for (;;) {
        tutti::call work(nullptr);
        {
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return (!queue.empty() && !holding) || (closed && queue.empty()); });
          if (queue.empty()) return;
          work = std::move(queue.front());
          queue.pop_front();
        }
        cross(std::move(work));
      }
    }
    void cross(tutti::call work) {
      tutti::portable_call* const call = work->portable();
      if (call == nullptr) return std::move(work).abandon(std::make_exception_ptr(std::logic_error("not portable")));
      if (!call->begin(nullptr)) return;  // `work` is dropped
      work.release();
      std::string arguments, result;
      try {
        call->encode_arguments(arguments);
      } catch (...) {
        return call->fail(std::current_exception());
      }
      const std::string name(call->function().name);
      const std::uint64_t signature = call->function().signature;
      std::string failure;
      ++crossed;
      entered = true;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return answering; });
      }
      try {
        tutti::find_function(name, signature).invoke(arguments, result);
      } catch (...) {
        failure = tutti::encode_exception(std::current_exception());
      }
      if (!failure.empty()) return call->fail(tutti::decode_exception(failure));
      if (garbled) result.resize(result.size() / 2);
      call->complete(result);
    }
  };

  wire_executor() : far_(std::make_shared<far_side>()) {
    far_->thread = std::jthread([far = far_.get()] { far->serve(); });
  }
  ~wire_executor() override {
    if (far_.use_count() == 1) wire_executor::shutdown(tutti::finish);
  }
  int concurrency() const override { return 1; }
  void shutdown(tutti::shutdown_mode mode) override {
    std::deque<tutti::call> dropped;
    {
      const std::lock_guard lock(far_->mutex);
      far_->closed = true;
      far_->holding = false;
      if (mode == tutti::cancel) dropped.swap(far_->queue);
    }
    far_->changed.notify_all();
    for (auto& work : dropped) std::move(work).abandon(std::make_exception_ptr(tutti::cancelled("shut down")));
    if (far_->thread.joinable()) far_->thread.join();
  }
  std::unique_ptr<executor> share() override { return std::unique_ptr<executor>(new wire_executor(id(), far_)); }
  far_side& far() { return *far_; }
  void set(bool far_side::* flag, bool value) {
    {
      const std::lock_guard lock(far_->mutex);
      (*far_).*flag = value;
    }
    far_->changed.notify_all();
  }

 protected:
  void start(tutti::call work) override {
    {
      const std::lock_guard lock(far_->mutex);
      if (far_->closed) throw tutti::closed("wire");
      far_->queue.push_back(std::move(work));
    }
    far_->changed.notify_all();
  }

 private:
  wire_executor(std::uint64_t id, std::shared_ptr<far_side> far) : executor(id), far_(std::move(far)) {}
  std::shared_ptr<far_side> far_;
};

}  // namespace tutti_test
