// What must not compile, and what the compiler must say.
#include <memory>
#include <tutti/channel/channels.hpp>

#pragma GCC diagnostic error "-Wunused-result"

namespace misuse {

struct throws_when_moved {
  throws_when_moved() = default;
  throws_when_moved(throws_when_moved&&) noexcept(false) {}
};

}  // namespace misuse

void use(tutti::channel<int>& c) {
  tutti::select(tutti::on(c, [](int) {}), tutti::otherwise([] {}));

#ifdef FAIL_throwing_moves  // expect: send a std::unique_ptr<T> otherwise
  tutti::channel<misuse::throws_when_moved> bad(1);
#endif
#ifdef FAIL_references  // expect: send a std::unique_ptr<T> otherwise
  tutti::detail::channel_state<int&> bad(1, "");
#endif
#ifdef FAIL_broadcast_of_what_cannot_be_copied  // expect: send a std::shared_ptr<const T> otherwise
  tutti::broadcast<std::unique_ptr<int>> bad(1);
#endif
#ifdef FAIL_copying_an_end  // expect: deleted
  auto ends = tutti::make_channel<int>(1);
  auto copy = ends.first;
#endif
#ifdef FAIL_dropping_an_awaitable  // expect: nodiscard
  c.send_async(1);
#endif
#ifdef FAIL_a_function_of_something_else  // expect: f must take an element of the channel
  tutti::select(tutti::on(c, [](const std::unique_ptr<int>&) {}));
#endif
#ifdef FAIL_a_function_of_what_was_sent  // expect: on_send(channel, value, f): f takes no argument
  tutti::select(tutti::on_send(c, 1, [](int) {}));
#endif
#ifdef FAIL_select_without_a_case  // expect: select needs a case
  tutti::select(tutti::otherwise([] {}));
#endif
#ifdef FAIL_two_defaults  // expect: select takes one of after(limit, f) and otherwise(f), once
  tutti::select(tutti::on(c, [](int) {}), tutti::otherwise([] {}), tutti::otherwise([] {}));
#endif
}
