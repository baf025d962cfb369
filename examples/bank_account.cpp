// bank_account: a deposit that is lost, every time; the lock that saves it; transfers both ways that cannot deadlock.
// Teaches: a race is an order of steps. Two coroutines on one thread show one, the same in each run, where threads
// would show it now and then. guard(a, b) locks two accounts, whoever names them in which order.
#include <tutti/tutti.hpp>

#include <iostream>
#include <string_view>

namespace {

struct account {
  explicit account(std::string_view name, long first = 0) : lock(name), balance(first) {}
  tutti::mutex lock;
  long balance;
};

constexpr int customers = 20;

// Reads, and writes what it has read plus one. Between the two the others run.
tutti::task<> deposit(account& to) {
  const long read = to.balance;
  co_await tutti::yield_now();
  to.balance = read + 1;
}

tutti::task<> safe_deposit(account& to) {
  const auto locked = co_await to.lock.lock_async();
  co_await deposit(to);
}

// What 20 customers, who pay in 1 each, make of an account. (The book: 9, 12 or 5, by chance; here always 1.)
long pay_in(tutti::task<> (*one)(account&)) {
  account shared("shared account");
  tutti::sync_wait(tutti::task_group::run([&](tutti::task_group& all) -> tutti::task<> {
    for (int i = 0; i < customers; ++i) all.spawn(one(shared));
    co_return;
  }));
  return shared.balance;
}

// Two threads move money between the same accounts, against each other. With one lock after the other, "mine first",
// each could hold what the other one wants.
long transfer_both_ways(account& one, account& other) {
  constexpr int transfers = 20'000;
  const auto transfer = [](account& from, account& to) {
    const tutti::guard both(from.lock, to.lock);
    from.balance -= 5;
    to.balance += 5;
  };
  tutti::thread there("there", [&] {
    for (int i = 0; i < transfers; ++i) transfer(one, other);
  });
  tutti::thread back("back", [&] {
    for (int i = 0; i < transfers; ++i) transfer(other, one);
  });
  there.join();
  back.join();
  const tutti::guard both(one.lock, other.lock);
  return one.balance + other.balance;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const long lost = pay_in(deposit);
  const long saved = pay_in(safe_deposit);
  std::cout << customers << " deposits of 1: " << lost << " without a lock, " << saved << " with it\n";

  account ann("ann", 100), bob("bob", 50);
  const long sum = transfer_both_ways(ann, bob);
  std::cout << "after transfers both ways ann has " << ann.balance << ", bob " << bob.balance << ", together " << sum
            << '\n';
  return lost == 1 && saved == customers && ann.balance == 100 && bob.balance == 50 && sum == 150 ? 0 : 1;
}
