// floor: the raw hand-overs between processes that no pool can beat, by futex and by spinning.
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <new>
#include <stdexcept>

#include "../harness/machine.hpp"
#include "systems.hpp"

namespace bench::process_pool {

namespace {

// Between processes: bench::futex_wait is for one.
void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT, expected, nullptr, nullptr, 0);
}

void wake(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

}  // namespace

struct partner::words {
  alignas(64) std::atomic<std::uint32_t> request = 0;
  alignas(64) std::atomic<std::uint32_t> answer = 0;
  // Read and written between a request and its answer only, so these are published by them.
  alignas(64) std::atomic<int> cpu = -1;
  std::atomic<bool> spins = false;
};

partner::partner() {
  void* memory = mmap(nullptr, sizeof(words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap failed");
  words_ = new (memory) words;
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    serve(*words_);
  }
}

partner::~partner() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  munmap(words_, sizeof(words));
}

void partner::serve(words& shared) {
  for (std::uint32_t seen = 0;; ++seen) {
    const bool spins = shared.spins.load(std::memory_order_relaxed);
    while (shared.request.load(std::memory_order_acquire) == seen) {
      if (!spins) wait(shared.request, seen);
    }
    const int cpu = shared.cpu.exchange(-1, std::memory_order_relaxed);
    if (cpu >= 0) pin(cpu);
    shared.answer.store(seen + 1, std::memory_order_release);
    if (!spins || cpu >= 0) wake(shared.answer);
  }
}

void partner::prepare(int cpu, bool spins) {
  words_->cpu.store(cpu, std::memory_order_relaxed);
  words_->spins.store(spins, std::memory_order_relaxed);
  spins_ = false;  // this one request finds it either way
  round_trip();
  spins_ = spins;
}

void partner::round_trip() {
  const std::uint32_t mine = words_->request.load(std::memory_order_relaxed) + 1;
  words_->request.store(mine, std::memory_order_release);
  if (!spins_) wake(words_->request);
  while (words_->answer.load(std::memory_order_acquire) != mine) {
    if (!spins_) wait(words_->answer, mine - 1);
  }
}

}  // namespace bench::process_pool
