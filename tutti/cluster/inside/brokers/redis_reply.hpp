// redis_reply: what is said to Redis, and what it answers.
#pragma once
#include <hiredis/hiredis.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tutti::cluster::detail {

/// A value in an answer, which must outlive it. What is asked of it as something that it is not is empty, 0, or nil: an
/// answer of another shape than expected is treated as one that says nothing.
class redis_value {
 public:
  explicit redis_value(const ::redisReply* reply) noexcept : reply_(reply) {}

  [[nodiscard]] bool is_nil() const noexcept { return reply_ == nullptr || reply_->type == REDIS_REPLY_NIL; }
  [[nodiscard]] bool is_error() const noexcept { return reply_ != nullptr && reply_->type == REDIS_REPLY_ERROR; }
  [[nodiscard]] bool is_array() const noexcept { return reply_ != nullptr && reply_->type == REDIS_REPLY_ARRAY; }
  [[nodiscard]] bool is_text() const noexcept {
    return reply_ != nullptr && (reply_->type == REDIS_REPLY_STRING || reply_->type == REDIS_REPLY_STATUS);
  }
  /// Of a text, a status or an error.
  [[nodiscard]] std::string_view text() const noexcept {
    return is_text() || is_error() ? std::string_view(reply_->str, static_cast<std::size_t>(reply_->len))
                                   : std::string_view();
  }
  [[nodiscard]] std::int64_t integer() const noexcept {
    return reply_ != nullptr && reply_->type == REDIS_REPLY_INTEGER ? reply_->integer : 0;
  }
  [[nodiscard]] std::size_t size() const noexcept { return is_array() ? reply_->elements : 0; }
  [[nodiscard]] redis_value operator[](std::size_t i) const noexcept {
    return redis_value(i < size() ? reply_->element[i] : nullptr);
  }

 private:
  const ::redisReply* reply_;
};

/// An answer.
class redis_reply {
 public:
  redis_reply() noexcept = default;
  explicit redis_reply(::redisReply* reply) noexcept : reply_(reply) {}
  [[nodiscard]] redis_value value() const noexcept { return redis_value(reply_.get()); }

 private:
  struct free_reply {
    void operator()(::redisReply* reply) const noexcept { ::freeReplyObject(reply); }
  };
  std::unique_ptr<::redisReply, free_reply> reply_;
};

/// Commands on their way to Redis, in order.
class redis_request {
 public:
  /// Begins a command of `words` words, its name among them.
  void begin(std::size_t words);
  /// Its next word. Throws broker_error when it is longer than Redis takes.
  void word(std::string_view text);
  void word(std::int64_t number);
  /// A whole command.
  void add(std::initializer_list<std::string_view> words);
  /// `name` and all of `words`.
  void add(std::string_view name, std::span<const std::string> words);

  [[nodiscard]] std::size_t commands() const noexcept { return commands_; }
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
  std::size_t commands_ = 0;
};

}  // namespace tutti::cluster::detail
