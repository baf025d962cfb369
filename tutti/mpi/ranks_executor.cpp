#include <tutti/mpi/ranks_executor.hpp>

#include <tutti/base/error.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/rank_pool.hpp>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <stdexcept>

namespace tutti::mpi {
namespace {

std::mutex making;
std::atomic<bool> was_made{false};
std::weak_ptr<rank_pool> only;  // while a handle lives
std::atomic<bool> somebody_died{false};

// A handle; the last one ends the pool.
class ranks_executor final : public executor {
 public:
  explicit ranks_executor(std::shared_ptr<rank_pool> pool) : executor(pool->id()), pool_(std::move(pool)) {}
  ~ranks_executor() override {
    if (pool_.use_count() == 1) {  // the last handle: its end is the pool's
      try {
        pool_->shutdown(finish);
      } catch (...) {  // the pool's own destructor tries again
      }
    }
    note();
  }
  int concurrency() const override { return pool_->concurrency(); }
  void shutdown(shutdown_mode mode) override { pool_->shutdown(mode); }
  std::unique_ptr<executor> share() override { return std::make_unique<ranks_executor>(pool_); }

 protected:
  void start(call work) override { executor_access::start(*pool_, std::move(work)); }

 private:
  void note() const noexcept {
    if (pool_->has_lost_any()) somebody_died = true;
  }
  const std::shared_ptr<rank_pool> pool_;
};

std::atomic<bool> is_serving{false};

// The end of an environment that is ours, before it. Ranks that died would be waited for; and where std::exit is called
// while the pool lives, the others would be served for ever, or rank 0 would wait for a call that has ended its rank.
void end_mpi(int exit_code, void* /*unused*/) {
  if (const auto living = only.lock()) {
    try {
      living->shutdown(cancel);
      if (living->has_lost_any()) somebody_died = true;
    } catch (...) {
      somebody_died = true;
    }
  }
  if (!somebody_died && !is_serving) return;  // then the environment's own end
  std::fflush(nullptr);
  ::_exit(exit_code);
}

void begin_mpi() {
  if (environment::is_on()) {
    throw std::logic_error(
        "executor \"ranks\": this program has an mpi::environment of its own, which ranks other than 0 would never "
        "end; "
        "make a tutti::mpi::rank_pool instead, or leave the environment to the executor");
  }
  static const environment ours;
  ::on_exit(end_mpi, nullptr);  // behind the environment, so it is called before that ends
}

[[noreturn]] void serve() {
  try {
    is_serving = true;
    const rank_pool serving;
    is_serving = false;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tutti: rank %d: %s\n", world().rank(), error.what());
    std::fflush(nullptr);
    ::_exit(EXIT_FAILURE);
  }
  std::exit(EXIT_SUCCESS);
}

}  // namespace

std::unique_ptr<executor> make_ranks_executor() {
  const std::lock_guard lock(making);
  if (auto living = only.lock()) return std::make_unique<ranks_executor>(std::move(living));
  if (was_made) throw closed("executor \"ranks\": its ranks have served one pool, and are gone; keep that one");
  begin_mpi();
  was_made = world().size() > 1;
  if (world().rank() != 0) serve();
  auto pool = std::make_shared<rank_pool>();
  only = pool;
  return std::make_unique<ranks_executor>(std::move(pool));
}

}  // namespace tutti::mpi
