// What the sorts and partitions must not accept, and what the compiler must say.
#include <list>
#include <string>
#include <tutti/parallel/partition.hpp>
#include <tutti/parallel/sort.hpp>
#include <tutti/parallel/stable_sort.hpp>
#include <vector>

struct unordered {};
struct pinned {
  pinned(pinned&&) = delete;
};

void use(std::list<int>& list, const std::vector<int>& fixed, std::vector<bool>& bits, std::vector<unordered>& things,
         pinned (&fast)[2], std::vector<int>& v) {
  tutti::parallel_sort(v);
#ifdef FAIL_list  // expect: needs random access
  tutti::parallel_sort(list);
#endif
#ifdef FAIL_const_elements  // expect: objects that are not const
  tutti::parallel_stable_sort(fixed);
#endif
#ifdef FAIL_bits  // expect: no stand-ins such as the bits
  tutti::parallel_sort(bits);
#endif
#ifdef FAIL_no_order  // expect: the comparator must take two elements
  tutti::parallel_sort(things);
#endif
#ifdef FAIL_projection  // expect: the projection cannot be called with an element
  tutti::parallel_sort(v, {}, &std::string::size);
#endif
#ifdef FAIL_pinned  // expect: they must be movable
  tutti::parallel_sort(fast, [](const pinned&, const pinned&) { return false; });
#endif
#ifdef FAIL_predicate  // expect: the predicate must take an element and return bool
  tutti::parallel_partition(v, [](const std::string&) { return true; });
#endif
  (void)list, (void)fixed, (void)bits, (void)things, (void)fast;
}
