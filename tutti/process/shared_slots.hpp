// shared_slots: a value too large for one atomic step, in shared memory: never seen half written, whoever is killed.
#pragma once
#include <tutti/process/robust_mutex.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tutti::detail {

/// Two places for the value and a number of writes so far, whose lowest bit says which place counts. Writers take turns
/// under a robust lock: each fills the place that does not count, then publishes it by the next number.
///
/// A writer that is killed before it published has changed nothing that counts: the lock goes to the next writer, who
/// fills the same place anew. So there is never anything to repair.
///
/// Readers take no lock. While the number is v, writers touch only the place that v does not name. A reader that finds
/// v before and after its copy has copied a place that nobody touched: had it seen a word of the write after next,
/// which goes to the same place, it would see number v + 1, too, which came before that. For this, words are stored
/// with release and loaded with acquire: who sees the word sees what its writer knew, among it v + 1. (A sequence lock;
/// see Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012.) A reader who is overtaken
/// again and again takes the lock.
class shared_slots {
 public:
  /// In memory of zeroes of bytes_for(size) bytes. Throws os_error.
  shared_slots() = default;

  static constexpr std::size_t bytes_for(std::size_t size) noexcept {
    return sizeof(shared_slots) + 2 * words_for(size) * sizeof(std::uint64_t);
  }

  /// Copies the value out. Who is overtaken again and again by writers waits for one, and for what its user does in
  /// update(). Throws os_error, and deadlock inside of a writer.
  void read(void* to, std::size_t size);

  /// One writer's turn: the lock is held while it lives.
  class writer {
   public:
    writer(shared_slots& slots, const char* what) : slots_(slots), turn_(slots.writers_, what) {}
    void read(void* to, std::size_t size) const noexcept;
    void write(const void* from, std::size_t size) noexcept;

   private:
    shared_slots& slots_;
    const robust_guard turn_;
  };

 private:
  static constexpr std::size_t words_for(std::size_t size) noexcept {
    return (size + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t);
  }
  std::uint64_t* place(std::uint64_t number, std::size_t size) noexcept {
    return reinterpret_cast<std::uint64_t*>(this + 1) + (number & 1) * words_for(size);
  }
  void copy_out(std::uint64_t number, void* to, std::size_t size) noexcept;

  robust_mutex writers_;
  std::atomic<std::uint64_t> writes_{0};
};

}  // namespace tutti::detail
