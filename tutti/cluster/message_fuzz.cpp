// message_fuzz: what comes from a broker or a result store is read or refused, and what is read can be sent on
// unchanged.
#include <tutti/base/error.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/url.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>

namespace {

using namespace tutti::cluster;

void require(bool holds) {
  if (!holds) std::abort();
}

void message(std::string_view element) {
  std::optional<task_message> read;
  try {
    read = decode_message(element);
  } catch (const tutti::decode_error&) {
  }
  const message_name name = name_of(element);
  const std::string marked = with_header(element, "x-death-reason", "\"fuzz\"");
  require(!array_parts('[' + marked + ']').empty());
  if (!read) return;
  require(name.id == read->id || read->is_old);
  require(name.task == read->task || read->is_old);
  const task_message again = decode_message(encode_message(*read));
  require(again.args == read->args && again.kwargs == read->kwargs && again.task == read->task && again.id == read->id);
  require(again.callbacks == read->callbacks && again.errbacks == read->errbacks && again.chain == read->chain);
  require(again.chord == read->chord && again.headers == read->headers && again.retries == read->retries);
  require(again.priority == read->priority && again.queue == read->queue && again.group == read->group);
}

void result(std::string_view text) {
  try {
    const task_result read = decode_result(text);
    const task_result again = decode_result(encode_result(read));
    require(again.status == read.status && again.id == read.id && again.children == read.children);
    try {
      (void)value_of(read);
    } catch (const std::exception&) {  // what it failed with
    }
  } catch (const tutti::decode_error&) {
  }
}

void texts(std::string_view text) {
  require(string_in(json_string(text)).has_value());
  require(from_base64(base64(text)) == text);
  (void)python_repr(text, text.size() % 50);
  try {
    (void)from_base64(text);
  } catch (const tutti::decode_error& e) {
    require(e.offset() <= text.size());
  }
  try {
    const wall_time when = from_iso_time(text);
    require(from_iso_time(iso_time(when)) <= when);
  } catch (const tutti::decode_error& e) {
    require(e.offset() <= text.size());
  }
  try {
    const broker_url url = broker_url::parse(text);
    require(broker_url::parse(url.text()).text() == url.text());
  } catch (const tutti::bad_spec&) {
  }
}

// Bodies in base64 are opaque to a fuzzer: this one is not.
void body(std::string_view text) {
  message(R"({"body":")" + base64(text) +
          R"(","headers":{"task":"t","id":"i"},"properties":{"body_encoding":"base64","delivery_tag":"d"}})");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: message(bytes); break;
    case 1: body(bytes); break;
    case 2: result(bytes); break;
    default: texts(bytes);
  }
  return 0;
}
