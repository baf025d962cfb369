// file: a file that all ranks of a communicator read and write together.
#pragma once
#include <tutti/mpi/collectives.hpp>
#include <tutti/mpi/communicator.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::mpi {

/// What a file is opened for.
enum class file_mode : std::uint8_t {
  read,    ///< to be read; it must exist
  write,   ///< to be written; made, or emptied
  append,  ///< to be written behind its end, by append_blocks; made if it is not there
  update,  ///< to be read and written; made if it is not there
  create,  ///< to be read and written; it must not exist
};

namespace detail {

struct file_state;
struct close_file {
  void operator()(file_state* file) const noexcept;
};
using file_handle = std::unique_ptr<file_state, close_file>;

file_handle open_file(const communicator& ranks, const std::filesystem::path& path, file_mode mode, const place& here);
void close(file_handle& file, const place& here);
std::uint64_t size_of(const file_state& file, const place& here);
void set_size(file_state& file, std::uint64_t bytes, const place& here);
void sync(file_state& file, const place& here);
void write_at(file_state& file, std::uint64_t offset, const_memory what, bool all, const place& here);
/// How many elements there were.
std::size_t read_at(file_state& file, std::uint64_t offset, memory into, bool all, const place& here);
started iwrite_at(file_state& file, std::uint64_t offset, const_memory what, const place& here);
started iread_at(file_state& file, std::uint64_t offset, memory into, const place& here);
void append_blocks(file_state& file, const_memory what, const place& here);
/// How many elements the file has. Throws when they do not come out even.
std::uint64_t elements_of(const file_state& file, std::size_t size, const place& here);
const std::filesystem::path& path_of(const file_state& file) noexcept;
const communicator& ranks_of(const file_state& file) noexcept;

}  // namespace detail

/// A file that all ranks of a communicator have opened. Its elements are plain values as they lie in memory, so that
/// the file is for machines of this kind. Offsets and counts are of elements: those of the buffer, from the beginning
/// of the file.
///
/// *_at_all are made by all ranks, in the same order, each with its own part, which may be empty: MPI makes few large
/// accesses of them. The other forms are for one rank alone. What one rank has written, others are sure to read after
/// `sync` of both and a barrier between, or after it was closed.
///
/// Opened and closed by all ranks; the destructor closes it, but for that of a rank which an exception unwinds: then
/// MPI keeps it. All calls throw mpi::error, which names the path, and why. Move-only. For one thread at a time.
class file {
 public:
  /// Opens it, for all ranks. Collective: same path, same mode.
  file(const communicator& ranks, const std::filesystem::path& path, file_mode mode = file_mode::read,
       place here = place::current())
      : state_(detail::open_file(ranks, path, mode, here)) {}

  /// Where it is.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return detail::path_of(*state_); }
  /// How many bytes it has.
  [[nodiscard]] std::uint64_t size(place here = place::current()) const { return detail::size_of(*state_, here); }
  /// Makes it so many bytes long, or short. Collective.
  void set_size(std::uint64_t bytes, place here = place::current()) { detail::set_size(*state_, bytes, here); }
  /// Blocks until what this rank has written is in the file. Collective.
  void sync(place here = place::current()) { detail::sync(*state_, here); }
  /// Closes it now, so that errors are thrown. Then nothing but the destructor may be called. Collective.
  void close(place here = place::current()) { detail::close(state_, here); }

  /// Writes elements, from that one on.
  template <raw_message T>
  void write_at(std::uint64_t offset, const T& what, place here = place::current()) {
    detail::write_at(*state_, offset, detail::memory_of(what), false, here);
  }
  /// The same by all ranks together. Collective.
  template <raw_message T>
  void write_at_all(std::uint64_t offset, const T& what, place here = place::current()) {
    detail::write_at(*state_, offset, detail::memory_of(what), true, here);
  }
  /// Reads elements, from that one on; how many there were: fewer at the end only.
  template <class B>
    requires(writable_buffer<B> || plain<std::remove_cvref_t<B>>)
  std::size_t read_at_into(std::uint64_t offset, B&& into, place here = place::current()) {
    return detail::read_at(*state_, offset, detail::writable_memory_of(into), false, here);
  }
  /// The same by all ranks together. Collective.
  template <class B>
    requires(writable_buffer<B> || plain<std::remove_cvref_t<B>>)
  std::size_t read_at_all_into(std::uint64_t offset, B&& into, place here = place::current()) {
    return detail::read_at(*state_, offset, detail::writable_memory_of(into), true, here);
  }
  /// `count` elements, from that one on: fewer at the end only.
  template <plain T>
  [[nodiscard]] std::vector<T> read_at(std::uint64_t offset, std::size_t count, place here = place::current()) {
    return read<T>(offset, count, false, here);
  }
  /// The same by all ranks together. Collective.
  template <plain T>
  [[nodiscard]] std::vector<T> read_at_all(std::uint64_t offset, std::size_t count, place here = place::current()) {
    return read<T>(offset, count, true, here);
  }
  /// Begins to write. The memory, and the file, must stay until the end.
  template <class T>
    requires(lasting_buffer<T> || (plain<std::remove_cvref_t<T>> && std::is_lvalue_reference_v<T>))
  request iwrite_at(std::uint64_t offset, T&& what, place here = place::current()) {
    return request(detail::iwrite_at(*state_, offset, detail::memory_of(what), here));
  }
  /// Begins to read. Elements beyond the end of the file stay as they are.
  template <lasting_writable_buffer B>
  request iread_at(std::uint64_t offset, B&& into, place here = place::current()) {
    return request(detail::iread_at(*state_, offset, detail::writable_memory_of(into), here));
  }

  /// Each rank's elements, of any number, behind the end of the file and those of the ranks before. Collective.
  template <raw_message T>
  void append_blocks(const T& what, place here = place::current()) {
    detail::append_blocks(*state_, detail::memory_of(what), here);
  }
  /// The elements of the file shared out evenly: this rank's, see block_of. Collective. Throws mpi::error when the file
  /// is not of a whole number of T.
  template <plain T>
  [[nodiscard]] std::vector<T> read_blocks(place here = place::current()) {
    const communicator& all = detail::ranks_of(*state_);
    const block mine = block_of(detail::elements_of(*state_, sizeof(T), here), all.rank(), all.size());
    return read<T>(mine.first, mine.count, true, here);
  }

 private:
  template <class T>
  std::vector<T> read(std::uint64_t offset, std::size_t count, bool all, const place& here) {
    std::vector<T> values(count);
    values.resize(detail::read_at(*state_, offset, {values.data(), count, detail::element_of<T>}, all, here));
    return values;
  }

  detail::file_handle state_;
};

/// Makes a file, or empties it, and writes each rank's elements behind those of the ranks before; the numbers may
/// differ. Collective. Throws mpi::error, which names the path.
template <raw_message T>
void write_blocks(const communicator& ranks, const std::filesystem::path& path, const T& what,
                  place here = place::current()) {
  file out(ranks, path, file_mode::write, here);
  out.append_blocks(what, here);
  out.close(here);
}

/// The elements of a file shared out evenly among the ranks: this one's, see block_of. Collective. Throws mpi::error,
/// which names the path.
template <plain T>
[[nodiscard]] std::vector<T> read_blocks(const communicator& ranks, const std::filesystem::path& path,
                                         place here = place::current()) {
  file in(ranks, path, file_mode::read, here);
  return in.read_blocks<T>(here);
}

}  // namespace tutti::mpi
