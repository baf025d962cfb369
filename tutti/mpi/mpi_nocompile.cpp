// What must not compile, and what the compiler must say.
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <tutti/mpi/mpi.hpp>
#include <vector>

namespace misuse {

struct has_pointer {
  int* p;
};
struct outer {
  std::vector<has_pointer> list;
};
struct opaque {
  explicit opaque(int);
  std::string text;
};
struct point {
  int x;
};
struct no_plus {
  int x;
};

}  // namespace misuse

using namespace misuse;

void use(const tutti::mpi::communicator& all) {
  all.send(point{1}, 0);
  (void)all.recv<std::vector<std::string>>();
  (void)all.allreduce(1, tutti::mpi::sum);
  int captured = 1;
  (void)captured;

#ifdef FAIL_send_pointer  // expect: a pointer or reference cannot be encoded
  all.send(&captured, 0);
#endif
#ifdef FAIL_send_pointer_inside  // expect: has_pointer
  all.send(outer{}, 0);
#endif
#ifdef FAIL_send_list_of_pointers  // expect: a pointer or reference cannot be encoded
  all.send(std::vector<int*>(), 0);
#endif
#ifdef FAIL_send_opaque  // expect: this type cannot be encoded
  all.send(opaque(1), 0);
#endif
#ifdef FAIL_send_opaque_names_it  // expect: misuse::opaque
  all.send(std::vector<opaque>(), 0);
#endif
#ifdef FAIL_send_shared_pointer  // expect: this type cannot be encoded
  all.send(std::shared_ptr<int>(), 0);
#endif
#ifdef FAIL_send_long_double  // expect: long double cannot be encoded
  all.send(1.0L, 0);
#endif
#ifdef FAIL_send_thread  // expect: this type cannot be encoded
  all.send(std::thread(), 0);
#endif
#ifdef FAIL_isend_pointer  // expect: a pointer or reference cannot be encoded
  (void)all.isend(&captured, 0);
#endif
#ifdef FAIL_recv_pointer  // expect: a pointer or reference cannot be encoded
  (void)all.recv<int*>();
#endif
#ifdef FAIL_recv_view  // expect: a view has no memory of its own
  (void)all.recv<std::string_view>();
#endif
#ifdef FAIL_recv_span  // expect: a view has no memory of its own
  (void)all.recv<std::span<int>>();
#endif
#ifdef FAIL_irecv_opaque  // expect: this type cannot be encoded
  (void)all.irecv<opaque>();
#endif
#ifdef FAIL_irecv_view  // expect: a view has no memory of its own
  (void)all.irecv<std::string_view>();
#endif
#ifdef FAIL_bcast_pointer  // expect: a pointer or reference cannot be encoded
  (void)all.bcast(&captured);
#endif
#ifdef FAIL_gather_opaque  // expect: this type cannot be encoded
  (void)all.gather(opaque(1));
#endif
#ifdef FAIL_allgather_opaque  // expect: this type cannot be encoded
  (void)all.allgather(opaque(1));
#endif
#ifdef FAIL_scatter_pointers  // expect: a pointer or reference cannot be encoded
  (void)all.scatter(std::vector<int*>());
#endif
#ifdef FAIL_alltoall_opaque  // expect: this type cannot be encoded
  (void)all.alltoall(std::vector<opaque>());
#endif
#ifdef FAIL_recv_into_const  // expect: writable_buffer
  const std::vector<int> constant(3);
  all.recv_into(constant);
#endif
#ifdef FAIL_recv_into_pointers  // expect: a pointer or reference cannot be encoded
  std::vector<int*> objects(3);
  all.recv_into(objects);
#endif
#ifdef FAIL_bcast_into_pointers  // expect: a pointer or reference cannot be encoded
  std::vector<int*> objects(3);
  all.bcast_into(objects);
#endif
#ifdef FAIL_elements_differ  // expect: same_elements
  std::vector<int> ints(1);
  std::vector<float> floats(1);
  all.allreduce_into(ints, floats, tutti::mpi::sum);
#endif
#ifdef FAIL_reduce_capturing  // expect: a lambda that captures nothing
  std::vector<int> in(1), out(1);
  all.reduce_into(in, out, [captured](int a, int b) { return a + b + captured; });
#endif
#ifdef FAIL_reduce_without_operator  // expect: the operation of a reduction takes two elements and returns one
  std::vector<no_plus> in(1), out(1);
  all.allreduce_into(in, out, [](int a, int b) { return a + b; });
#endif
#ifdef FAIL_copy_request  // expect: deleted
  tutti::mpi::request a = all.ibarrier();
  auto b = a;
#endif
#ifdef FAIL_copy_persistent  // expect: deleted
  tutti::mpi::persistent_request a = all.send_init(captured, 0);
  auto b = a;
#endif
}
