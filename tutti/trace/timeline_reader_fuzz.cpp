// timeline_reader_fuzz: whatever is in a file is read or refused; what is read can be summed up, and written and read
// again.
#include <tutti/trace/timeline_reader.hpp>
#include <tutti/trace/timeline_writer.hpp>
#include <tutti/trace/trace_summary.hpp>

#include <array>
#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>

namespace {

void read(std::string_view text) {
  try {
    const tutti::timeline once = tutti::read_timeline(text, {.events = 10'000, .threads = 100});
    std::ostringstream out;
    tutti::write_summary(tutti::summarise(once), out);
    out.str({});
    tutti::write_timeline(once, out);
    const tutti::timeline again = tutti::read_timeline(out.view());
    if (again.slices.size() != once.slices.size() || again.flows.size() != once.flows.size()) std::abort();
  } catch (const tutti::decode_error& refused) {
    if (refused.offset() > text.size()) std::abort();
  }
}

// Each byte is a piece of an event, so that most inputs are nearly timelines.
std::string nearly(std::string_view bytes) {
  static constexpr std::array<std::string_view, 32> pieces{R"({"ph":"X",)",
                                                           R"({"ph":"s",)",
                                                           R"({"ph":"f",)",
                                                           R"({"ph":"i",)",
                                                           R"("cat":"task",)",
                                                           R"("cat":"wait",)",
                                                           R"("cat":"park",)",
                                                           R"("cat":"flow",)",
                                                           R"("cat":"steal",)",
                                                           R"("name":"join",)",
                                                           R"("name":"\u00e9",)",
                                                           R"("ts":1,)",
                                                           R"("ts":2.5,)",
                                                           R"("ts":1e12,)",
                                                           R"("ts":-1,)",
                                                           R"("dur":3,)",
                                                           R"("dur":0,)",
                                                           R"("dur":1e12,)",
                                                           R"("tid":1,)",
                                                           R"("tid":2,)",
                                                           R"("tid":1e300,)",
                                                           R"("id":1,)",
                                                           R"("id":2,)",
                                                           R"("id":"x",)",
                                                           R"("args":{"resumed":true},)",
                                                           R"("args":{"for":"x","at":"y"},)",
                                                           R"("args":[1,{}],)",
                                                           R"("pid":1},)",
                                                           R"("pid":2},)",
                                                           R"("pid":3},)",
                                                           R"({"ph":"C","cat":"counter",)",
                                                           R"("args":{"value":-7},)"};
  std::string text =
      R"({"otherData":{"tutti":"timeline 1","threads":[{"tid":1,"worker":true,"end_us":9}]},"traceEvents":[)";
  for (const char byte : bytes) text += pieces[static_cast<unsigned char>(byte) % pieces.size()];
  return text + R"({"ph":"M"}]})";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  read(R"({"otherData":{"tutti":"timeline 1"},"traceEvents":[)" + std::string(bytes) + "]}");
  read(nearly(bytes));
  return 0;
}
