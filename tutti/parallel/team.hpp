// team: several workers take pieces of work from one source until it is empty and stays so.
//
// The source's lock decides who does what; this decides who helps. A member of the team that is asked for work by an
// idle worker of the pool forks: it goes on itself, and whoever takes the branch becomes a member too, once for each
// worker of the pool. A member that finds nothing to do waits in the source for a while and then sleeps there, as what
// is being worked on may bring more; nobody waits in a join while there is work. All leave when nothing is left and
// nothing is being worked on, or when somebody has failed or all are to stop; so joins are short, and forks are as deep
// as the pool is wide.
#pragma once
#include <tutti/core/spin.hpp>
#include <tutti/core/wait_list.hpp>
#include <tutti/parallel/loop.hpp>

namespace tutti::detail {

/// Where members of a team wait; part of each source.
struct team_room {
  wait_list waiters;
  std::atomic<int> invited{0};

  /// By whoever has made a piece of work available, after the source's lock was released (or by a seq_cst store): the
  /// handshake of wait_list with `can_step`.
  void more() noexcept { waiters.wake_one(); }
};

/// Somebody asks for work, and the team is smaller than the pool: then a step ends soon. Where nobody may be invited,
/// the wish stays, and is no reason to.
inline bool asked_to_invite(const worker* w, const team_room& room) noexcept {
  return w != nullptr && w->forks.wanted() && !w->forks.full() &&
         room.invited.load(std::memory_order_relaxed) < w->pool->concurrency() - 1;
}

/// What a team works on. All are called from several threads at once.
///   new_member()     what a member has of its own
///   guest_of(member) what one has that this member has invited
///   step(w, member)  does a piece of work, or several until asked_to_invite(w); false: there is none now
///   can_step()       exactly: whether there is one
///   may_step()       a hint of the same
///   may_get_more()   whether what is being worked on may bring further pieces; false once all is done
///   room()           where members wait
template <class Source>
concept work_source = requires(Source& source, const worker* w, typename Source::member& member) {
  { source.new_member() } -> std::same_as<typename Source::member>;
  { source.guest_of(member) } -> std::same_as<typename Source::member>;
  { source.step(w, member) } -> std::same_as<bool>;
  { source.can_step() } -> std::same_as<bool>;
  { source.may_step() } -> std::same_as<bool>;
  { source.may_get_more() } -> std::same_as<bool>;
  { source.room() } -> std::same_as<team_room&>;
};

// Whoever leaves, with an exception or because all is done, has the others find that out.
struct all_look_again {
  team_room& room;
  ~all_look_again() { room.waiters.wake_all(); }
};

// False: there is nothing more, ever.
template <work_source Source>
bool wait_for_more(Source& source, const loop_control& control) {
  const auto ended = [&] { return control.over() || (!source.can_step() && !source.may_get_more()); };
  for (spinner spin(spinner::before_sleep);;) {
    if (control.over()) return false;
    if (source.may_step()) return true;
    if (!source.may_get_more()) return false;
    if (!spin.once()) break;
  }
  try {
    source.room().waiters.sleep([&] { return source.can_step() || ended(); }, {.what = "parallel loop"});
  } catch (const pool_exhausted&) {
    return false;  // no thread could take this one's place: it helps no longer, and waits in its joins if it must
  }
  return !ended();
}

template <work_source Source>
bool may_invite(const worker* w, Source& source) {
  if (!asked_to_invite(w, source.room())) return false;
  if (!source.may_step() && !source.may_get_more()) return false;
  return source.room().invited.fetch_add(1, std::memory_order_relaxed) < w->pool->concurrency() - 1;
}

template <work_source Source>
void be_member(worker* w, Source& source, typename Source::member me, loop_control& control) {
  const all_look_again on_leaving{source.room()};
  for (;;) {
    if (may_invite(w, source)) {
      auto here = [&] { be_member(w, source, me, control); };
      auto there = [&, guest = source.guest_of(me)] {
        if (this_worker != w) be_member(this_worker, source, guest, control);  // else nobody came, and all is done
      };
      result_box<std::monostate> a, b;
      return fork_two(w, here, there, a, b);
    }
    if (!source.step(w, me) && (w == nullptr || !wait_for_more(source, control))) return;
  }
}

/// Works on `source` until all is done.
template <work_source Source>
void work_together(worker* w, Source& source, loop_control& control) {
  be_member(w, source, source.new_member(), control);
}

}  // namespace tutti::detail
