// machine: what the benchmarks read from and ask of Linux: names, load, memory, context switches, pinning, futexes.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

std::string cpu_name();       ///< "Intel(R) Xeon(R) ..."
std::string kernel_name();    ///< "Linux 6.1.0"
std::string compiler_name();  ///< "g++ 12.2.0"

/// Waits until the threads of this process have stopped spinning (peers' workers do so for a while after their work),
/// at most 100 ms.
void settle();

/// The CPUs this process started with; latency cases pin to the first two. Same after `pin`.
const std::vector<int>& startup_cpus();

/// Pins the calling thread to one CPU.
void pin(int cpu);

/// Lets the calling thread use all CPUs the process started with.
void unpin();

/// Peak resident memory of this process in KiB (VmHWM; unlike getrusage it does not include what came before exec).
long peak_kib();

/// Resident memory of this process in KiB, exact (summed over its mappings).
long resident_kib();

/// What process `pid` has of the memory, in KiB: its share, where pages that n processes have count as 1/n, and what it
/// alone has.
struct process_memory {
  long share_kib = 0;
  long private_kib = 0;
};
process_memory memory_of(pid_t pid);

/// Context switches of all threads of process `pid` (0: this one) so far: each is one wake-up or one preemption.
struct switches {
  long voluntary = 0;
  long involuntary = 0;
};
switches context_switches(pid_t pid = 0);

/// CPU seconds of this process, its finished children and the live ones announced by `count_as_own`.
double own_cpu_seconds();

/// From now on the CPU time of child `pid` is not foreign load.
void count_as_own(pid_t pid);

/// How much CPU other programs (and the hypervisor) take from us, from construction on. What this process has started,
/// and what that has, is not other programs.
class load_meter {
 public:
  load_meter();
  /// Cores that others used on average since construction; 0 for intervals too short for the kernel's ticks.
  double foreign_cores() const;

 private:
  double busy_, own_, wall_;
};

/// Blocks while `word` is `expected`, or spuriously returns.
void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected);

/// Wakes one waiter.
void futex_wake(std::atomic<std::uint32_t>& word);

}  // namespace bench
