#include <tutti/mpi/environment.hpp>

#include <tutti/base/demangle.hpp>
#include <tutti/mpi/comm_state.hpp>
#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/progress.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <unordered_set>

namespace tutti::mpi {
namespace detail {
namespace {

struct process_state {
  std::mutex mutex;
  std::unordered_set<comm_state*> alive;  // communicators
  std::shared_ptr<comm_state> world, self;
  std::atomic<bool> on{false}, over{false};
  thread_level level = thread_level::multiple;
  std::terminate_handler terminate = nullptr;  // before ours
  pid_t pid = 0;
};

process_state& process() {
  static process_state& only = *new process_state;  // communicators may outlive static objects
  return only;
}

const char* name_of(thread_level level) {
  constexpr std::array names{"single", "funneled", "serialized", "multiple"};
  return names[static_cast<std::size_t>(level)];
}

int native_level(thread_level level) {
  constexpr std::array levels{MPI_THREAD_SINGLE, MPI_THREAD_FUNNELED, MPI_THREAD_SERIALIZED, MPI_THREAD_MULTIPLE};
  return levels[static_cast<std::size_t>(level)];
}

std::string no_environment(const char* call) {
  return std::string("mpi::") + call +
         (process().over ? ": MPI has ended: its mpi::environment was destroyed"
                         : ": MPI has not begun: make a tutti::mpi::environment first in main");
}

// An exception that nobody catches ends the job, and says on which rank it was.
[[noreturn]] void end_job_by_exception() {
  if (process().pid != ::getpid()) {  // a fork is no rank
    if (process().terminate != nullptr) process().terminate();
    std::abort();
  }
  std::string what = "std::terminate was called";
  int exit_code = 1;
  try {
    if (std::current_exception() != nullptr) std::rethrow_exception(std::current_exception());
  } catch (const deadlock& e) {
    what = e.what();
    exit_code = deadlock_exit_code;
  } catch (const std::exception& e) {
    what = std::string("nobody caught ") + demangle(typeid(e).name()) + ": " + e.what();
  } catch (...) {
    what = "nobody caught an exception that is no std::exception";
  }
  int rank = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::fprintf(stderr, "tutti: rank %d: %s\n", rank, what.c_str());
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::abort();
}

// Open MPI 4.1 unloads its modules at its end while a thread of its own may still be inside one: so they stay.
void keep_modules_of_mpi() {
#ifdef OPEN_MPI
  std::vector<std::string> names;  // first: to open one while the list is locked could deadlock
  ::dl_iterate_phdr(
      [](::dl_phdr_info* library, std::size_t /*size*/, void* found) {
        if (std::strstr(library->dlpi_name, "/mca_") != nullptr) {
          static_cast<std::vector<std::string>*>(found)->emplace_back(library->dlpi_name);
        }
        return 0;
      },
      &names);
  for (const std::string& name : names) {
    static_cast<void>(::dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE));
  }
#endif
}

std::shared_ptr<comm_state> ready_made(MPI_Comm comm, const char* name) {
  auto made = std::make_shared<comm_state>();
  adopt(*made, number_of(comm), name, false);
  return made;
}

}  // namespace

void adopt(comm_state& state, std::uintptr_t handle, std::string name, bool owned) {
  const auto comm = handle_of<MPI_Comm>(handle);
  state.handle = handle;
  state.owned = owned;
  state.name = std::move(name);
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm, &state.rank);
  MPI_Comm_size(comm, &state.size);
  if (watching()) {
    fill_world_ranks(state);
    watch_communicator(state);
  }
  const std::lock_guard lock(process().mutex);
  process().alive.insert(&state);
}

void fill_world_ranks(comm_state& state) {
  MPI_Group all = MPI_GROUP_NULL;
  MPI_Group mine = MPI_GROUP_NULL;
  MPI_Comm_group(MPI_COMM_WORLD, &all);
  MPI_Comm_group(comm_of(state), &mine);
  std::vector<int> here(static_cast<std::size_t>(state.size));
  for (int i = 0; i < state.size; ++i) here[static_cast<std::size_t>(i)] = i;
  state.world_ranks.resize(here.size());
  MPI_Group_translate_ranks(mine, state.size, here.data(), all, state.world_ranks.data());
  MPI_Group_free(&mine);
  MPI_Group_free(&all);
}

comm_state::~comm_state() {
  shadow.reset();
  {
    const std::lock_guard lock(process().mutex);
    process().alive.erase(this);
  }
  if (owned && size != 0 && process().on) {
    unwatch_communicator(*this);
    auto comm = comm_of(*this);
    MPI_Comm_free(&comm);
  }
}

void check_alive(const comm_state& where, const char* call, const place& here) {
  if (where.size == 0) throw std::logic_error(no_environment(call) + " (" + to_string(here) + ")");
}

void check_thread(const comm_state& where, const char* call, const place& here) {
  check_alive(where, call, here);
  throw std::logic_error(std::string("mpi::") + call + " on rank " + std::to_string(where.rank) + " of " + where.name +
                         ": this is not the thread that made the environment, and its thread level is " +
                         name_of(process().level) + "; begin MPI with {.threads = thread_level::multiple} (" +
                         to_string(here) + ")");
}

bool is_on() noexcept { return process().on.load(std::memory_order_acquire); }

}  // namespace detail

using detail::process;

environment::environment(environment_options options, place here)
    : exceptions_(std::uncaught_exceptions()), made_at_(here) {
  auto& all = process();
  const std::lock_guard lock(all.mutex);
  int begun = 0;
  MPI_Initialized(&begun);
  if (all.on || all.over || begun != 0) {
    throw std::logic_error(all.on     ? "mpi::environment: there is one already"
                           : all.over ? "mpi::environment: MPI has ended, and cannot begin again in one process"
                                      : "mpi::environment: MPI_Init was called already, by somebody else");
  }
  const char* const watch = std::getenv("TUTTI_WATCH");
  bool watched = watch != nullptr && (std::string_view(watch).find("deadlock") != std::string_view::npos ||
                                      std::string_view(watch).find("all") != std::string_view::npos);
  if (watched) detail::before_mpi();
  const int asked = watched ? MPI_THREAD_MULTIPLE : detail::native_level(options.threads);
  int given = 0;
  MPI_Init_thread(nullptr, nullptr, asked, &given);
  if (given < asked) {
    MPI_Finalize();
    all.over = true;
    throw error(std::string("mpi::environment: thread level ") + detail::name_of(options.threads) +
                    " was asked for, and this MPI offers less; ask for a lower one" +
                    (watched ? ", without TUTTI_WATCH, which needs the highest" : ""),
                MPI_ERR_OTHER);
  }
  detail::keep_modules_of_mpi();
  all.level = options.threads;
  watched = detail::all_watch(watched);
  unsigned bits = 0;
  if (options.threads < thread_level::serialized) bits |= detail::threads_are_limited;
  detail::began_here = true;
  if (watched) bits |= detail::is_watched;
  detail::attention.store(bits, std::memory_order_relaxed);
  all.pid = ::getpid();
  all.terminate = std::set_terminate(detail::end_job_by_exception);
  if (watched) detail::start_watch(options.threads <= thread_level::funneled);
  all.on = true;
}

environment::~environment() {
  auto& all = process();
  if (std::uncaught_exceptions() > exceptions_) {
    std::fprintf(stderr, "tutti: rank %d leaves its mpi::environment by an exception: the job ends\n", world().rank());
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  if (std::get_terminate() == detail::end_job_by_exception) std::set_terminate(all.terminate);
  detail::stop_progress();
  if (detail::watching()) detail::stop_watch(made_at_);
  all.world.reset();
  all.self.reset();
  {
    const std::lock_guard lock(all.mutex);
    all.on = false;
    all.over = true;
    detail::attention.store(detail::mpi_is_over, std::memory_order_relaxed);
    for (detail::comm_state* one : all.alive) {
      one->size = 0;
      one->owned = false;
    }
  }
  MPI_Finalize();
}

bool environment::is_on() noexcept { return detail::is_on(); }

thread_level environment::threads() {
  if (!is_on()) throw std::logic_error(detail::no_environment("environment::threads"));
  return process().level;
}

namespace {
communicator ready_made(std::shared_ptr<detail::comm_state>& kept, MPI_Comm comm, const char* name, const place& here) {
  if (!detail::is_on()) throw std::logic_error(detail::no_environment(name) + " (" + to_string(here) + ")");
  static std::mutex making;
  const std::lock_guard lock(making);
  if (kept == nullptr) kept = detail::ready_made(comm, name);
  return detail::access::make(kept);
}
}  // namespace

communicator world(place here) { return ready_made(process().world, MPI_COMM_WORLD, "world", here); }
communicator self(place here) { return ready_made(process().self, MPI_COMM_SELF, "self", here); }

std::string processor_name() {
  if (!detail::is_on()) throw std::logic_error(detail::no_environment("processor_name"));
  std::array<char, MPI_MAX_PROCESSOR_NAME + 1> text{};
  int length = 0;
  MPI_Get_processor_name(text.data(), &length);
  return {text.data(), static_cast<std::size_t>(length)};
}

double wtime() { return MPI_Wtime(); }

void abort(int exit_code) {
  int rank = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::fprintf(stderr, "tutti: rank %d ends the job by mpi::abort(%d)\n", rank, exit_code);
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::abort();
}

}  // namespace tutti::mpi
