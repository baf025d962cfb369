#include <tutti/base/error.hpp>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/brokers/redis_reply.hpp>

#include <charconv>

namespace tutti::cluster::detail {

namespace {

constexpr std::size_t longest_word = 512 * 1024 * 1024;  // Redis' proto-max-bulk-len

void append_number(std::string& to, char kind, std::size_t number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  to += kind;
  to.append(digits, end);
  to += "\r\n";
}

}  // namespace

void redis_request::begin(std::size_t words) {
  append_number(bytes_, '*', words);
  ++commands_;
}

void redis_request::word(std::string_view text) {
  if (text.size() > longest_word) {
    throw broker_refusal("a text of " + std::to_string(text.size()) +
                         " bytes is too long for Redis, which takes 512 MB: put it elsewhere and send where it is");
  }
  append_number(bytes_, '$', text.size());
  bytes_ += text;
  bytes_ += "\r\n";
}

void redis_request::word(std::int64_t number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  word(std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

void redis_request::add(std::initializer_list<std::string_view> words) {
  begin(words.size());
  for (const std::string_view text : words) word(text);
}

void redis_request::add(std::string_view name, std::span<const std::string> words) {
  begin(words.size() + 1);
  word(name);
  for (const std::string& text : words) word(text);
}

}  // namespace tutti::cluster::detail
