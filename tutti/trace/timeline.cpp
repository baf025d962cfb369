// timeline: names of what it holds, its texts and its order.
#include <tutti/trace/timeline.hpp>

#include <algorithm>
#include <tuple>

namespace tutti {

std::string_view to_string(slice_kind kind) noexcept {
  switch (kind) {
    case slice_kind::task: return "task";
    case slice_kind::branch: return "branch";
    case slice_kind::wait: return "wait";
    case slice_kind::park: return "park";
    case slice_kind::span: return "span";
  }
  return "unknown";
}

std::string_view to_string(mark_kind kind) noexcept {
  switch (kind) {
    case mark_kind::publish: return "publish";
    case mark_kind::steal: return "steal";
    case mark_kind::user: return "mark";
  }
  return "unknown";
}

std::string_view to_string(flow_kind kind) noexcept {
  switch (kind) {
    case flow_kind::submit: return "submit";
    case flow_kind::resume: return "resume";
    case flow_kind::go_on: return "go_on";
    case flow_kind::fork: return "fork";
    case flow_kind::join: return "join";
    case flow_kind::wake: return "wake";
  }
  return "unknown";
}

timeline::text timeline::add(std::string_view value) {
  const auto [found, is_new] = known_.try_emplace(std::string(value), static_cast<text>(texts.size()));
  if (is_new) texts.emplace_back(value);
  return found->second;
}

std::uint64_t timeline::all_dropped() const noexcept {
  std::uint64_t sum = dropped;
  for (const thread& t : threads) sum += t.dropped;
  return sum;
}

void timeline::sort() {
  // An outer slice before the inner one that begins with it. Whatever else decides only makes the order one.
  std::sort(slices.begin(), slices.end(), [](const slice& x, const slice& y) {
    return std::tie(x.begin, y.end, x.thread, x.kind, x.name) < std::tie(y.begin, x.end, y.thread, y.kind, y.name);
  });
  std::sort(marks.begin(), marks.end(), [](const mark& x, const mark& y) {
    return std::tie(x.at, x.thread, x.kind, x.name, x.number) < std::tie(y.at, y.thread, y.kind, y.name, y.number);
  });
  std::sort(counters.begin(), counters.end(), [](const counter& x, const counter& y) {
    return std::tie(x.at, x.name, x.value) < std::tie(y.at, y.name, y.value);
  });
  std::sort(flows.begin(), flows.end(), [](const flow& x, const flow& y) {
    return std::tie(x.to, x.to_thread, x.from, x.from_thread, x.kind) <
           std::tie(y.to, y.to_thread, y.from, y.from_thread, y.kind);
  });
}

}  // namespace tutti
