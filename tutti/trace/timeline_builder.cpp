// timeline_builder: members of objects become those of a timeline.
#include <tutti/trace/timeline_builder.hpp>

#include <tutti/trace/shown_text.hpp>

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

namespace tutti::detail {
namespace {

template <class Kind, std::size_t N>
std::optional<Kind> kind_of(std::string_view name, const std::array<Kind, N>& known) {
  for (const Kind kind : known) {
    if (to_string(kind) == name) return kind;
  }
  return std::nullopt;
}

constexpr std::array slice_kinds{slice_kind::task, slice_kind::branch, slice_kind::wait, slice_kind::park,
                                 slice_kind::span};
constexpr std::array mark_kinds{mark_kind::publish, mark_kind::steal, mark_kind::user};
constexpr std::array flow_kinds{flow_kind::submit, flow_kind::resume, flow_kind::go_on,
                                flow_kind::fork,   flow_kind::join,   flow_kind::wake};

}  // namespace

timeline_builder::place timeline_builder::inner(place outer, std::string_view key, bool is_object) const noexcept {
  switch (outer) {
    case place::outside: return is_object ? place::root : place::ignored;
    case place::root:
      if (key == "otherData" && is_object) return place::about;
      return key == "traceEvents" && !is_object ? place::events : place::ignored;
    case place::about: return key == "threads" && !is_object ? place::threads : place::ignored;
    case place::threads: return is_object ? place::thread : place::ignored;
    case place::events: return is_object ? place::event : place::ignored;
    case place::event: return key == "args" && is_object ? place::arguments : place::ignored;
    case place::thread:
    case place::arguments:
    case place::ignored: break;
  }
  return place::ignored;
}

bool timeline_builder::begin(place where) {
  if (where == place::event) event_ = {};
  if (where == place::thread) {
    thread_ = {};
    thread_id_.reset();
  }
  return true;
}

bool timeline_builder::end(place where) {
  if (where == place::event) return add_event();
  if (where == place::thread) return add_thread();
  return true;
}

bool timeline_builder::value(place where, std::string_view key, const json_scalar& found) {
  switch (where) {
    case place::about: return about_value(key, found);
    case place::thread: return thread_value(key, found);
    case place::event: return event_value(key, found);
    case place::arguments: return argument_value(key, found);
    case place::outside: return fail("it is no object");
    case place::threads:
    case place::events: return fail("a list of objects holds something else");
    case place::root:
    case place::ignored: break;
  }
  return true;
}

bool timeline_builder::read(std::string_view key, const json_scalar& found, std::string& to) {
  if (found.kind != json_scalar::type::text) return fail(fmt::format("\"{}\" is no string", key));
  to = found.text;
  return true;
}

bool timeline_builder::read(std::string_view key, const json_scalar& found, bool& to) {
  if (found.kind != json_scalar::type::flag) return fail(fmt::format("\"{}\" is neither true nor false", key));
  to = found.flag;
  return true;
}

bool timeline_builder::read(std::string_view key, const json_scalar& found, double least, double most, double& to) {
  if (found.kind != json_scalar::type::number) return fail(fmt::format("\"{}\" is no number", key));
  if (!(found.number >= least && found.number <= most))
    return fail(fmt::format("\"{}\" is {:g}, not from {:g} to {:g}", key, found.number, least, most));
  to = found.number;
  return true;
}

bool timeline_builder::read_time(std::string_view key, const json_scalar& found, std::optional<std::int64_t>& to) {
  double us = 0;
  if (!read(key, found, 0, most_us, us)) return false;
  to = std::llround(us * 1000);
  return true;
}

bool timeline_builder::read_natural(std::string_view key, const json_scalar& found, std::optional<std::uint64_t>& to) {
  double number = 0;
  if (!read(key, found, 0, most_integer, number)) return false;
  to = static_cast<std::uint64_t>(number);
  return true;
}

bool timeline_builder::about_value(std::string_view key, const json_scalar& found) {
  if (key == "process") return read(key, found, made_.process);
  if (key == "tutti") {
    std::string format;
    if (!read(key, found, format)) return false;
    if (format != "timeline 1")
      return fail(fmt::format("it is in the format \"{}\"; known: \"timeline 1\"", shown(format, 40)));
    return ours_ = true;
  }
  if (key == "duration_us") {
    std::optional<std::int64_t> time;
    if (!read_time(key, found, time)) return false;
    made_.duration = *time;
  } else if (key == "pid" || key == "dropped") {
    std::optional<std::uint64_t> number;
    if (!read_natural(key, found, number)) return false;
    key == "pid" ? static_cast<void>(made_.pid = static_cast<std::int64_t>(*number))
                 : static_cast<void>(made_.dropped = *number);
  }
  return true;
}

bool timeline_builder::thread_value(std::string_view key, const json_scalar& found) {
  if (key == "tid") return read_natural(key, found, thread_id_);
  if (key == "name") return read(key, found, thread_.name);
  if (key == "worker") return read(key, found, thread_.is_worker);
  if (key == "begin_us" || key == "end_us") {
    std::optional<std::int64_t> time;
    if (!read_time(key, found, time)) return false;
    (key == "begin_us" ? thread_.begin : thread_.end) = *time;
  } else if (key == "dropped" || key == "kernel_tid") {
    std::optional<std::uint64_t> number;
    if (!read_natural(key, found, number)) return false;
    if (key == "dropped")
      thread_.dropped = *number;
    else
      thread_.kernel_id = static_cast<std::int64_t>(*number);
  }
  return true;
}

bool timeline_builder::event_value(std::string_view key, const json_scalar& found) {
  if (key == "ph") return read(key, found, event_.phase);
  if (key == "cat") return read(key, found, event_.category);
  if (key == "name") return read(key, found, event_.name);
  if (key == "ts") return read_time(key, found, event_.at);
  if (key == "dur") return read_time(key, found, event_.duration);
  if (key == "tid") return read_natural(key, found, event_.thread);
  if (key == "id") return found.kind != json_scalar::type::number || read_natural(key, found, event_.id);
  return true;
}

bool timeline_builder::argument_value(std::string_view key, const json_scalar& found) {
  // Other programs' arguments may have these names and other types.
  if (found.kind == json_scalar::type::text && key == "for") event_.target = found.text;
  if (found.kind == json_scalar::type::text && key == "at") event_.where = found.text;
  if (found.kind == json_scalar::type::flag && key == "resumed") event_.resumed = found.flag;
  if (found.kind == json_scalar::type::flag && key == "unfinished") event_.unfinished = found.flag;
  if (found.kind != json_scalar::type::number) return true;
  // Integers whole; of others what a double holds exactly.
  const bool exact = std::abs(found.number) <= most_integer;
  if (key == "number") {
    if (found.natural)
      event_.number = *found.natural;
    else if (exact && found.number >= 0)
      event_.number = static_cast<std::uint64_t>(found.number);
  } else if (key == "value") {
    if (found.integer)
      event_.value = *found.integer;
    else if (exact)
      event_.value = std::llround(found.number);
  }
  return true;
}

bool timeline_builder::need(bool there, const char* member) {
  return there || fail(fmt::format("an event of phase \"{}\" has no \"{}\"", shown(event_.phase, 8), member));
}

bool timeline_builder::index_of(std::uint64_t id, std::uint32_t& index) {
  const auto [found, is_new] = threads_.try_emplace(id, static_cast<std::uint32_t>(made_.threads.size()));
  if (is_new) {
    if (made_.threads.size() >= limits_.threads)
      return fail(fmt::format("it has more than {} threads", limits_.threads));
    made_.threads.emplace_back().name = fmt::format("thread {}", id);
  }
  index = found->second;
  return true;
}

bool timeline_builder::add_thread() {
  std::uint32_t index = 0;
  if (!thread_id_) return fail("a thread has no \"tid\"");
  if (thread_.end < thread_.begin) return fail("a thread ends before it begins");
  if (!index_of(*thread_id_, index)) return false;
  made_.threads[index] = std::move(thread_);
  return true;
}

bool timeline_builder::add_event() {
  if (++events_ > limits_.events) return fail(fmt::format("it has more than {} events", limits_.events));
  const std::string& phase = event_.phase;
  if (phase == "X") return add_slice();
  if (phase == "s" || phase == "f") return add_flow();
  if (phase == "i") {
    const auto kind = kind_of(event_.category, mark_kinds);
    if (!kind) return true;
    std::uint32_t thread = 0;
    if (!need(event_.at.has_value(), "ts") || !need(event_.thread.has_value(), "tid") ||
        !index_of(*event_.thread, thread))
      return false;
    made_.marks.push_back(
        {thread, *kind, *kind == mark_kind::user ? made_.add(event_.name) : 0U, event_.number, *event_.at});
  } else if (phase == "C" && event_.category == "counter") {
    if (!need(event_.at.has_value(), "ts")) return false;
    made_.counters.push_back({made_.add(event_.name), event_.value, *event_.at});
  }
  return true;
}

bool timeline_builder::add_slice() {
  const auto kind = kind_of(event_.category, slice_kinds);
  if (!kind) return true;
  timeline::slice slice;
  if (!need(event_.at.has_value(), "ts") || !need(event_.duration.has_value(), "dur") ||
      !need(event_.thread.has_value(), "tid") || !index_of(*event_.thread, slice.thread))
    return false;
  slice.kind = *kind;
  slice.resumed = event_.resumed;
  slice.unfinished = event_.unfinished;
  slice.name = *kind == slice_kind::park ? 0U : made_.add(event_.name);
  slice.detail = made_.add(event_.target);
  slice.where = made_.add(event_.where);
  slice.begin = *event_.at;
  slice.end = slice.begin + *event_.duration;
  made_.slices.push_back(slice);
  return true;
}

bool timeline_builder::add_flow() {
  const auto kind = kind_of(event_.name, flow_kinds);
  if (!kind || event_.category != "flow") return true;
  std::uint32_t thread = 0;
  if (!need(event_.at.has_value(), "ts") || !need(event_.id.has_value(), "id") ||
      !need(event_.thread.has_value(), "tid") || !index_of(*event_.thread, thread))
    return false;
  half_flow& half = flows_[*event_.id];
  if (event_.phase == "s" ? std::exchange(half.begun, true) : std::exchange(half.ended, true))
    return fail(fmt::format("the flow {} has two of its ends", *event_.id));
  half.flow.kind = *kind;
  if (event_.phase == "s") {
    half.flow.from_thread = thread;
    half.flow.from = *event_.at;
  } else {
    half.flow.to_thread = thread;
    half.flow.to = *event_.at;
  }
  if (!half.begun || !half.ended) return true;
  if (half.flow.to < half.flow.from) return fail(fmt::format("the flow {} ends before it begins", *event_.id));
  made_.flows.push_back(half.flow);
  return true;
}

bool timeline_builder::finish(timeline& into) {
  if (!ours_) return fail("it is JSON, but no timeline of tutti: there is no \"tutti\" in \"otherData\"");
  made_.sort();
  into = std::move(made_);
  return true;
}

}  // namespace tutti::detail
