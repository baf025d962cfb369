// What must not compile of one-sided memory and files, and what the compiler must say.
#include <tutti/mpi/mpi.hpp>

#include <string>
#include <vector>

#pragma GCC diagnostic error "-Wunused-result"

namespace misuse {

struct pair {
  int a, b;
};

}  // namespace misuse

void use(const tutti::mpi::communicator& all) {
  tutti::mpi::window<int> numbers(all, 1);
  tutti::mpi::window<double> reals(all, 1);
  tutti::mpi::window<misuse::pair> pairs(all, 1);
  numbers.accumulate(1, 0, 0, tutti::mpi::sum);
  reals.put(1, 0);
  pairs.put({1, 2}, 0);

#ifdef FAIL_a_window_of_what_is_not_plain  // expect: constraints not satisfied
  tutti::mpi::window<std::string> texts(all, 1);
#endif
#ifdef FAIL_operations_of_the_program  // expect: one-sided operations are MPI's own
  numbers.accumulate(1, 0, 0, [](int a, int b) { return a - b; });
#endif
#ifdef FAIL_bits_of_reals  // expect: MPI does not have this operation for such elements
  reals.accumulate(1, 0, 0, tutti::mpi::band);
#endif
#ifdef FAIL_operations_on_structs  // expect: one-sided operations are of numbers
  pairs.accumulate({1, 2}, 0, 0, tutti::mpi::replace);
#endif
#ifdef FAIL_swapping_reals  // expect: MPI compares and swaps integers only
  reals.compare_and_swap(1, 2, 0);
#endif
#ifdef FAIL_elements_of_another_type  // expect: no matching
  reals.put(std::vector<float>{1, 2}, 0);
#endif
#ifdef FAIL_writing_what_is_soon_gone  // expect: lasting_buffer
  (void)numbers.rput(std::vector<int>{1}, 0);
#endif
#ifdef FAIL_reading_into_what_is_soon_gone  // expect: lasting_writable_buffer
  (void)numbers.rget(std::vector<int>(1), 0);
#endif
#ifdef FAIL_a_file_written_from_what_is_soon_gone  // expect: no matching
  (void)tutti::mpi::file(all, "f").iwrite_at(0, std::vector<int>{1});
#endif
#ifdef FAIL_a_file_read_into_what_is_soon_gone  // expect: lasting_writable_buffer
  (void)tutti::mpi::file(all, "f").iread_at(0, std::vector<int>(1));
#endif
#ifdef FAIL_elements_of_neighbors_differ  // expect: of_one_element
  std::vector<float> floats(2);
  tutti::mpi::cartesian(all, {0}, {true}).neighbor_allgather_into(1, floats);
#endif
#ifdef FAIL_blocks_of_neighbors_differ  // expect: same_elements
  std::vector<float> floats(2);
  tutti::mpi::cartesian(all, {0}, {true}).neighbor_alltoall_into(std::vector<int>(2), floats);
#endif
#ifdef FAIL_neighbors_and_what_is_soon_gone  // expect: no matching
  std::vector<int> ints(2);
  (void)tutti::mpi::cartesian(all, {0}, {true}).ineighbor_allgather(std::vector<int>{1}, ints);
#endif
#ifdef FAIL_dropping_a_lock  // expect: nodiscard
  numbers.lock(0);
#endif
#ifdef FAIL_a_file_of_encoded_values  // expect: no matching
  tutti::mpi::write_blocks(all, "f", std::vector<std::string>{"a"});
#endif
}
