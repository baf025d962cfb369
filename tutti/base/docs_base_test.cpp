// docs_base_test: what docs/base.md shows, compiled and run.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/describe/class.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <tutti/base/clock.hpp>
#include <tutti/base/codec.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/json.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/registry.hpp>
#include <tutti/base/trace.hpp>
#include <vector>

namespace docs_base {

using namespace std::chrono_literals;

struct measurement {
  std::string sensor;
  std::vector<double> values;
  std::optional<int> error_code;
};

TEST(docs_base, codec) {
  measurement before{"roof", {20.5, 20.7}, std::nullopt};
  std::string bytes = tutti::encode(before);
  auto after = tutti::decode<measurement>(bytes);

  EXPECT_EQ(after.sensor, "roof");
  EXPECT_EQ(after.values, before.values);
  EXPECT_EQ(bytes.size(), 1 + 4 + 1 + 16 + 1U);
}

TEST(docs_base, codec_refuses) {
  std::string bytes = tutti::encode(measurement{"roof", {20.5}, 7}).substr(0, 10);
  std::size_t offset = 99;
  try {
    auto half = tutti::decode<measurement>(bytes);
  } catch (const tutti::decode_error& e) {
    offset = e.offset();  // where in the input; e.what() says what was wrong there
  }
  EXPECT_EQ(offset, 6U);
}

class money {
 public:
  money() = default;
  explicit money(long cents) : cents_(cents) {}
  long cents() const { return cents_; }
  template <class Archive>
  void serialize(Archive& ar) {  // both directions; wins over everything else
    ar(cents_);
  }

 private:
  long cents_ = 0;
};

TEST(docs_base, own_serialize) {
  auto copy = tutti::decode<std::vector<money>>(tutti::encode(std::vector{money(150), money(99)}));
  EXPECT_EQ(copy[1].cents(), 99);
}

struct point {
  int x, y;
};
struct city {
  std::string name;
  point at;
};
BOOST_DESCRIBE_STRUCT(city, (), (name, at))

TEST(docs_base, json) {
  std::string text = tutti::encode_json(city{"Lund", {3, 5}});
  EXPECT_EQ(text, R"({"name":"Lund","at":[3,5]})");  // described by name, the other by position
  EXPECT_EQ(tutti::decode_json<city>(R"({"at": [1, 2], "name": "Ystad", "zip": 27100})").at.y, 2);
}

double mean(std::span<const double> values) {
  double sum = 0;
  for (double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

template <class T>
T add(T a, T b) {
  return a + b;
}

TEST(docs_base, functions_by_name) {
  static_cast<void>(tutti::fn<mean>);                                // mentioning it registers it
  static_cast<void>(tutti::fn<tutti::named<"calc.add", add<int>>>);  // what has no name of its own is given one

  const tutti::function_info& found = tutti::find_function("docs_base::mean");
  std::string result;
  found.invoke(tutti::encode(std::tuple(std::vector{1.0, 2.0, 6.0})), result);
  EXPECT_EQ(tutti::decode<double>(result), 3.0);

  EXPECT_EQ(tutti::find_function("calc.add").name, "calc.add");
  EXPECT_THROW(static_cast<void>(tutti::find_function("calc.ad")), tutti::not_registered);
}

struct parse_failure : std::runtime_error {
  explicit parse_failure(const std::string& what) : std::runtime_error(what) {}
};
const bool parse_failure_travels = tutti::register_exception<parse_failure>();

TEST(docs_base, exceptions) {
  std::string bytes = tutti::encode_exception(std::make_exception_ptr(parse_failure("line 3")));
  try {
    std::rethrow_exception(tutti::decode_exception(bytes));  // in another process, say
  } catch (const parse_failure& e) {
    EXPECT_STREQ(e.what(), "line 3");
  }
  EXPECT_TRUE(parse_failure_travels);
}

TEST(docs_base, an_exception_that_nobody_registered) {
  struct stray : std::runtime_error {
    using runtime_error::runtime_error;
  };
  const std::string bytes = tutti::encode_exception(std::make_exception_ptr(stray("lost")));
  try {
    std::rethrow_exception(tutti::decode_exception(bytes));
  } catch (const tutti::remote_error& e) {
    EXPECT_STREQ(e.what(), "lost");
    EXPECT_NE(e.type().find("stray"), std::string::npos);
  }
}

TEST(docs_base, virtual_time) {
  tutti::virtual_clock clock;
  auto start = tutti::now();
  clock.advance(1h);
  EXPECT_EQ(tutti::now() - start, 1h);
}

TEST(docs_base, log) {
  tutti::log_capture captured;  // in tests: instead of standard error
  tutti::log(tutti::log_level::warn, "worker died", {{"pid", 4711}, {"reason", "out of memory"}});
  EXPECT_TRUE(captured.contains("worker died pid=4711 reason=\"out of memory\""));
}

class counting_sink : public tutti::trace_sink {
 public:
  void record(tutti::trace_kind kind, std::uint64_t, std::uint64_t) noexcept override {
    if (kind == tutti::trace_kind::mark) count.fetch_add(1, std::memory_order_relaxed);
  }
  std::atomic<int> count{0};
};

TEST(docs_base, trace) {
  static counting_sink sink;  // stays: a thread may still be inside when another sink takes over
  tutti::trace_sink* before = tutti::set_trace_sink(&sink);
  tutti::trace_point(tutti::trace_kind::mark, tutti::trace_text("reached"), 2);
  tutti::set_trace_sink(before);
  EXPECT_EQ(sink.count.exchange(0), 1);
}

}  // namespace docs_base
