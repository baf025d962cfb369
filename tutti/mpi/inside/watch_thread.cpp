#include <tutti/mpi/inside/watch_thread.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/mpi/environment.hpp>

#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace tutti::mpi::detail {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

// Steps between looks, and how long a rank must have stood still before it is looked at closely.
constexpr auto step = 25ms;
constexpr auto still = 100ms;
// What a thread that waits must have used of its processor before a send counts as one that needs its receiver: enough
// to copy whatever MPI buffers.
constexpr std::int64_t enough_work = 5'000'000;

enum tag { of_news, of_ask, of_answer };

// All of it, whoever else writes.
void print(std::string_view text) {
  while (!text.empty()) {
    const ::ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) return;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// The launcher, which reads standard error for its user, drops what it has not passed on when the job is aborted: it
// gets a moment to read all, and another one to pass it on.
void let_it_be_read() {
  const auto late = clock::now() + 500ms;
  int unread = 0;
  while (::ioctl(STDERR_FILENO, FIONREAD, &unread) == 0 && unread != 0 && clock::now() < late) {
    std::this_thread::sleep_for(1ms);
  }
  std::this_thread::sleep_for(100ms);
}

}  // namespace

watch_thread::watch_thread(MPI_Comm own, rank_ledger& ledger, options wanted)
    : comm_(own), ledger_(ledger), options_(std::move(wanted)), own_threads_(options_.own_threads) {
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  if (rank_ == 0) judge_.emplace(static_cast<std::size_t>(size_), options_.late);
  thread_ = std::thread([this] { run(); });
}

void watch_thread::add_own_thread(long number) {
  const std::lock_guard lock(mutex_);
  own_threads_.push_back(number);
}

void watch_thread::finish(const place& here) {
  {
    const std::lock_guard lock(mutex_);
    ledger_.end_of_rank(here);
  }
  wake_.notify_one();
  thread_.join();
}

void watch_thread::run() {
  ::pthread_setname_np(::pthread_self(), "tutti/mpi-watch");
  add_own_thread(this_thread_number());
  for (bool over = false; !over;) {
    receive_all();
    if (phase_ != phase::silent) {
      look();
      if (judge_) judge();
    }
    flush();
    over = step_to_the_end();
    // The end should not be late by the watch.
    const auto pause = phase_ == phase::running || clock::now() - since_ > 1s ? step : 1ms;
    std::unique_lock lock(mutex_);
    if (!over) wake_.wait_for(lock, pause, [&] { return phase_ == phase::running && ledger_.has_ended(); });
  }
  MPI_Comm_free(&comm_);
}

// First all ranks must be in their end; until then each serves the judge. Then nobody sends any more, and all receive
// until everybody's messages have arrived: they are synchronous, so that their senders know.
bool watch_thread::step_to_the_end() {
  int flag = 0;
  if (phase_ == phase::running && ledger_.has_ended()) {
    MPI_Ibarrier(comm_, &all_in_end_);
    phase_ = phase::ending;
    since_ = clock::now();
  }
  if (phase_ == phase::ending) {
    MPI_Test(&all_in_end_, &flag, MPI_STATUS_IGNORE);
    if (flag != 0) phase_ = phase::silent;
  }
  if (phase_ != phase::silent) return false;
  if (all_silent_ == MPI_REQUEST_NULL) {
    if (!sending_.empty()) return false;
    MPI_Ibarrier(comm_, &all_silent_);
  }
  MPI_Test(&all_silent_, &flag, MPI_STATUS_IGNORE);
  return flag != 0;
}

void watch_thread::send(int to, int tag, std::string bytes) {
  sending& one = sending_.emplace_back(sending{MPI_REQUEST_NULL, std::move(bytes)});
  MPI_Issend(one.bytes.data(), static_cast<int>(one.bytes.size()), MPI_BYTE, to, tag, comm_, &one.request);
}

void watch_thread::flush() {
  std::erase_if(sending_, [](sending& one) {
    int ended = 0;
    MPI_Test(&one.request, &ended, MPI_STATUS_IGNORE);
    return ended != 0;
  });
}

void watch_thread::receive_all() {
  for (;;) {
    int there = 0;
    MPI_Status about;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_, &there, &about);
    if (there == 0) return;
    int size = 0;
    MPI_Get_count(&about, MPI_BYTE, &size);
    std::string bytes(static_cast<std::size_t>(size), '\0');
    MPI_Recv(bytes.data(), size, MPI_BYTE, about.MPI_SOURCE, about.MPI_TAG, comm_, MPI_STATUS_IGNORE);
    if (phase_ == phase::silent) continue;
    if (about.MPI_TAG == of_news) {
      judge_->hear(about.MPI_SOURCE, decode<rank_news>(bytes), clock::now());
    } else if (about.MPI_TAG == of_answer) {
      judge_->hear(about.MPI_SOURCE, decode<rank_answer>(bytes));
    } else {
      const auto asked = decode<rank_ask>(bytes);
      std::vector<bool> done;
      rank_answer answer{.round = asked.round, .epoch = epoch_for(asked, done), .done = {}};
      answer.done.assign(done.begin(), done.end());
      send(0, of_answer, encode(answer));
    }
  }
}

// The threads are looked at before the ledger: what they do is told there first.
std::uint64_t watch_thread::epoch_for(const rank_ask& asked, std::vector<bool>& done) {
  const bool quiet = told_ && (!told_->quiet || quiet_now() == told_->quiet);
  const auto [epoch, answers] = ledger_.answer(asked.questions);
  done = answers;
  if (!told_) return 0;
  if (quiet && epoch == told_->ledger_epoch) return told_->number;
  since_ = clock::now();
  told_.reset();
  tell({}, false, false);
  return 0;
}

void watch_thread::tell(rank_report report, bool is_doubtful, bool has_worked) {
  report.epoch = ++numbers_;
  send(0, of_news, encode(rank_news{std::move(report), is_doubtful, has_worked}));
}

bool watch_thread::threads_matter() const {
  if (ledger_.has_ended()) return false;
  return !options_.one_thread || !ledger_.waits_in_call(main_);
}

std::optional<std::vector<quiet_thread>> watch_thread::quiet_now() {
  std::vector<long> others = ledger_.waiting_threads();
  const std::lock_guard lock(mutex_);
  others.insert(others.end(), own_threads_.begin(), own_threads_.end());
  return quiet_threads(others, options_.library);
}

bool watch_thread::has_worked(const rank_ledger::standing& standing) const {
  // A machine that is busy; a network that is slow, or has lost something and tries again.
  constexpr auto patience = 1s;
  constexpr std::int64_t bytes_per_microsecond = 100;
  auto enough = std::chrono::microseconds(3 * still);
  if (standing.doubtful != 0) enough = patience + std::chrono::microseconds(standing.doubtful / bytes_per_microsecond);
  if (clock::now() - since_ < enough) return false;
  return std::all_of(standing.threads.begin(), standing.threads.end(),
                     [](const auto& one) { return used_by(one.first).value_or(0) - one.second >= enough_work; });
}

void watch_thread::look() {
  const auto now = clock::now();
  const std::uint64_t epoch = ledger_.epoch();
  if (epoch != epoch_) {
    epoch_ = epoch;
    since_ = now;
    if (told_) {
      told_.reset();
      tell({}, false, false);
    }
    if (!ledger_.has_ended()) return;
  }
  if (told_) {
    if (now - looked_ < still) return;
    looked_ = now;
    if (told_->quiet && quiet_now() != told_->quiet) {
      told_.reset();
      tell({}, false, false);
    } else if (!told_->has_worked && has_worked(told_->standing)) {
      told_->has_worked = true;
      tell(told_->standing.report, told_->standing.doubtful != 0, true);
      told_->number = numbers_;
    }
    return;
  }
  if (now - since_ < still && !ledger_.has_ended()) return;
  told made{.ledger_epoch = epoch, .number = 0, .quiet = {}, .standing = {}, .has_worked = false};
  const bool matter = threads_matter();
  if (matter) {
    made.quiet = quiet_now();
    if (!made.quiet) return;
  }
  made.standing = ledger_.look();
  if (made.standing.report.epoch != epoch || made.standing.report.calls.empty()) return;
  made.has_worked = has_worked(made.standing);
  tell(made.standing.report, made.standing.doubtful != 0, made.has_worked);
  made.number = numbers_;
  looked_ = now;
  told_ = std::move(made);
}

void watch_thread::judge() {
  for (auto& [rank, asked] : judge_->ask(clock::now())) send(rank, of_ask, encode(asked));
  for (const std::string& text : judge_->take_warnings()) print("tutti: " + text);
  if (judge_->verdict()) end_job(*judge_->verdict());
}

void watch_thread::end_job(const std::string& verdict) {
  print("tutti: deadlock between ranks\n" + verdict + "the job ends with exit code " +
        std::to_string(deadlock_exit_code) + '\n');
  let_it_be_read();
  MPI_Abort(MPI_COMM_WORLD, deadlock_exit_code);
  std::_Exit(deadlock_exit_code);
}

}  // namespace tutti::mpi::detail
