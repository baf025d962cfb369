// prime_consumers: four processes take numbers from one queue and put into another whether they are prime.
// Teaches: consumers share the work out by themselves: who is free takes the next number. close() ends all of them: no
// poison pill for each, and no asking empty(), which sends consumers home that come too early.
#include <tutti/process/process.hpp>
#include <tutti/process/process_queue.hpp>
#include <tutti/process/this_process.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace prime_consumers {

struct answer {
  int number = 0;
  bool prime = false;
  std::string consumer{};
};

bool is_prime(int n) {
  if (n % 2 == 0) return n == 2;
  for (long divisor = 3; divisor * divisor <= n; divisor += 2) {
    if (n % divisor == 0) return false;
  }
  return n > 1;
}

void consume(tutti::process_queue<int> numbers, tutti::process_queue<answer> answers) {
  for (const int n : numbers) answers.send({n, is_prime(n), tutti::this_process::name()});
}

}  // namespace prime_consumers

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  using prime_consumers::answer;
  const std::vector<int> asked{2, 36, 101, 193, 323, 513, 1327, 100'000, 9'999'999, 433'785'907};
  tutti::process_queue<int> numbers(4);
  tutti::process_queue<answer> answers(4);
  std::vector<tutti::process> consumers;
  for (const char* name : {"consumer 1", "consumer 2", "consumer 3", "consumer 4"}) {
    consumers.emplace_back(tutti::process_options{.name = name}, tutti::fn<prime_consumers::consume>, numbers, answers);
  }
  // Numbers wait for consumers, who wait for room for their answers: somebody else must read these meanwhile.
  tutti::thread producer("producer", [&] {
    for (const int n : asked) numbers.send(n);
    numbers.close();
  });

  std::vector<int> primes, answered;
  std::map<std::string, int> shares;
  for (std::size_t i = 0; i < asked.size(); ++i) {  // as many answers as questions: then all are through
    const answer a = answers.receive();
    answered.push_back(a.number);
    if (a.prime) primes.push_back(a.number);
    ++shares[a.consumer];
  }
  producer.join();

  bool right = true;
  for (tutti::process& consumer : consumers) right = consumer.join().success() && right;
  std::ranges::sort(primes);
  std::ranges::sort(answered);
  for (const int prime : primes) std::cout << prime << " is prime\n";
  for (const auto& [consumer, share] : shares) std::cout << consumer << ": " << share << " numbers\n";
  return right && answered == asked && primes == std::vector{2, 101, 193, 1327, 433'785'907} ? 0 : 1;
}
