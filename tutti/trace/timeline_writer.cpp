// timeline_writer: the Trace Event Format (Google, "Trace Event Format", 2016), in order of time.
#include <tutti/trace/timeline_writer.hpp>

#include <fmt/format.h>
#include <boost/locale/utf.hpp>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti {
namespace {

class json_file {
 public:
  explicit json_file(std::ostream& out) : out_(out) {}
  ~json_file() = default;
  json_file(const json_file&) = delete;
  json_file& operator=(const json_file&) = delete;

  template <class... A>
  void put(fmt::format_string<const A&...> format, const A&... values) {
    fmt::vformat_to(std::back_inserter(buffer_), fmt::string_view(format), fmt::make_format_args(values...));
  }
  // In quotes.
  void put_text(std::string_view text);
  void put_time(std::int64_t ns) { put("{}{}.{:03}", ns < 0 ? "-" : "", std::abs(ns / 1000), std::abs(ns % 1000)); }

  // Between two events. False: the file can take no more.
  bool flush(bool all = false) {
    constexpr std::size_t enough = std::size_t{1} << 16U;
    if (all || buffer_.size() >= enough) {
      out_.write(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
      buffer_.clear();
    }
    return out_.good();
  }

 private:
  std::ostream& out_;
  fmt::memory_buffer buffer_;
};

void json_file::put_text(std::string_view text) {
  namespace utf = boost::locale::utf;
  buffer_.push_back('"');
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const char* next = at;
    const auto code = utf::utf_traits<char>::decode(next, end);
    if (code == utf::illegal || code == utf::incomplete) {
      put("\\ufffd");
      next = at + 1;
    } else if (code == '"' || code == '\\') {
      buffer_.push_back('\\');
      buffer_.push_back(static_cast<char>(code));
    } else if (code < 0x20 || code == 0x7F) {
      put("\\u{:04x}", code);
    } else {
      buffer_.append(at, next);
    }
    at = next;
  }
  buffer_.push_back('"');
}

class writer {
 public:
  writer(const timeline& recorded, std::ostream& out) : from_(recorded), file_(out) {}
  void write();

 private:
  enum class what : std::uint8_t { slice, flow_out, flow_in, mark, counter };  // those of one moment in this order
  struct entry {
    std::int64_t at;
    what kind;
    std::uint32_t index;
  };

  void write_about();
  void write_names();
  std::vector<entry> in_order() const;
  void write_entry(const entry& one);
  void write_slice(const timeline::slice& one);
  void write_mark(const timeline::mark& one);
  void write_flow(std::uint32_t index, bool out);
  void write_counter(const timeline::counter& one);
  void head(char phase, std::string_view category, std::string_view name, std::int64_t at);
  void head(char phase, std::string_view category, std::string_view name, std::int64_t at, std::uint32_t thread) {
    head(phase, category, name, at);
    file_.put(",\"tid\":{}", thread + 1);
  }

  const timeline& from_;
  json_file file_;
};

void writer::write_about() {
  file_.put("{{\"displayTimeUnit\":\"ns\",\n\"otherData\":{{\"tutti\":\"timeline 1\",\"process\":");
  file_.put_text(from_.process);
  file_.put(",\"pid\":{},\"duration_us\":", from_.pid);
  file_.put_time(from_.duration);
  file_.put(",\"dropped\":{},\"dropped_by_all\":{},\n\"threads\":[", from_.dropped, from_.all_dropped());
  for (std::size_t i = 0; i < from_.threads.size(); ++i) {
    const timeline::thread& one = from_.threads[i];
    file_.put("{}\n{{\"tid\":{},\"name\":", i == 0 ? "" : ",", i + 1);
    file_.put_text(one.name);
    file_.put(",\"worker\":{},\"begin_us\":", one.is_worker);
    file_.put_time(one.begin);
    file_.put(",\"end_us\":");
    file_.put_time(one.end);
    file_.put(",\"dropped\":{},\"kernel_tid\":{}}}", one.dropped, one.kernel_id);
  }
  file_.put("]}},\n\"traceEvents\":[\n");
}

void writer::write_names() {
  file_.put("{{\"ph\":\"M\",\"pid\":{},\"tid\":0,\"name\":\"process_name\",\"args\":{{\"name\":", from_.pid);
  file_.put_text(from_.process);
  file_.put("}}}}");
  for (std::size_t i = 0; i < from_.threads.size(); ++i) {
    file_.put(",\n{{\"ph\":\"M\",\"pid\":{},\"tid\":{},\"name\":\"thread_name\",\"args\":{{\"name\":", from_.pid,
              i + 1);
    file_.put_text(from_.threads[i].name);
    file_.put(
        "}}}},\n{{\"ph\":\"M\",\"pid\":{},\"tid\":{},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{}}}}}",
        from_.pid, i + 1, i + 1);
  }
}

std::vector<writer::entry> writer::in_order() const {
  std::vector<entry> all;
  all.reserve(from_.slices.size() + 2 * from_.flows.size() + from_.marks.size() + from_.counters.size());
  const auto index_in = [](const auto& list, const auto& one) {
    return static_cast<std::uint32_t>(&one - list.data());
  };
  for (const auto& one : from_.slices) all.push_back({one.begin, what::slice, index_in(from_.slices, one)});
  for (const auto& one : from_.flows) all.push_back({one.from, what::flow_out, index_in(from_.flows, one)});
  for (const auto& one : from_.flows) all.push_back({one.to, what::flow_in, index_in(from_.flows, one)});
  for (const auto& one : from_.marks) all.push_back({one.at, what::mark, index_in(from_.marks, one)});
  for (const auto& one : from_.counters) all.push_back({one.at, what::counter, index_in(from_.counters, one)});
  std::sort(all.begin(), all.end(), [](const entry& x, const entry& y) {
    if (x.at != y.at) return x.at < y.at;
    return x.kind != y.kind ? x.kind < y.kind : x.index < y.index;
  });
  return all;
}

void writer::head(char phase, std::string_view category, std::string_view name, std::int64_t at) {
  file_.put(",\n{{\"ph\":\"{}\",\"cat\":\"{}\",\"name\":", phase, category);
  file_.put_text(name);
  file_.put(",\"pid\":{},\"ts\":", from_.pid);
  file_.put_time(at);
}

void writer::write_slice(const timeline::slice& one) {
  const std::string_view name = one.kind == slice_kind::park ? std::string_view("asleep") : from_[one.name];
  head('X', to_string(one.kind), name, one.begin, one.thread);
  file_.put(",\"dur\":");
  file_.put_time(one.end - one.begin);
  bool first = true;
  const auto argument = [&](const char* key) {
    file_.put("{}\"{}\":", std::exchange(first, false) ? ",\"args\":{" : ",", key);
  };
  const auto text = [&](const char* key, timeline::text value) {
    if (value == 0) return;
    argument(key);
    file_.put_text(from_[value]);
  };
  const auto flag = [&](const char* key, bool value) {
    if (!value) return;
    argument(key);
    file_.put("true");
  };
  text("for", one.detail);
  text("at", one.where);
  flag("resumed", one.resumed);
  flag("unfinished", one.unfinished);
  file_.put("{}", first ? "}" : "}}");
}

void writer::write_mark(const timeline::mark& one) {
  head('i', to_string(one.kind), one.kind == mark_kind::user ? std::string_view(from_[one.name]) : to_string(one.kind),
       one.at, one.thread);
  file_.put(",\"s\":\"t\"");
  if (one.kind == mark_kind::user) file_.put(",\"args\":{{\"number\":{}}}", one.number);
  file_.put("}}");
}

void writer::write_flow(std::uint32_t index, bool out) {
  const timeline::flow& one = from_.flows[index];
  head(out ? 's' : 'f', "flow", to_string(one.kind), out ? one.from : one.to, out ? one.from_thread : one.to_thread);
  // bp: it ends at the slice around it, not at the next one to begin.
  file_.put(",\"id\":{}{}}}", index + 1, out ? "" : ",\"bp\":\"e\"");
}

void writer::write_counter(const timeline::counter& one) {
  head('C', "counter", from_[one.name], one.at);
  file_.put(",\"args\":{{\"value\":{}}}}}", one.value);
}

void writer::write_entry(const entry& one) {
  switch (one.kind) {
    case what::slice: return write_slice(from_.slices[one.index]);
    case what::flow_out: return write_flow(one.index, true);
    case what::flow_in: return write_flow(one.index, false);
    case what::mark: return write_mark(from_.marks[one.index]);
    case what::counter: return write_counter(from_.counters[one.index]);
  }
}

void writer::write() {
  write_about();
  write_names();
  for (const entry& one : in_order()) {
    write_entry(one);
    if (!file_.flush()) return;
  }
  file_.put("\n]}}\n");
  file_.flush(/*all=*/true);
}

}  // namespace

void write_timeline(const timeline& recorded, std::ostream& out) { writer(recorded, out).write(); }

}  // namespace tutti
