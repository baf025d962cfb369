#include <tutti/io/http/body.hpp>

#include <tutti/io/http/connection.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace tutti::io::http {

std::optional<std::uint64_t> body_reader::size() const noexcept {
  if (from_ == nullptr || head_->body == detail::framing::none) return 0;
  if (head_->body == detail::framing::length) return head_->length;
  return std::nullopt;
}

bool body_reader::at_end() const noexcept { return from_ == nullptr || from_->is_complete(); }

bool body_reader::is_awaited() const noexcept { return head_ != nullptr && head_->expects_continue && !begun_; }

void body_reader::invite() {
  if (is_awaited() && !from_->has_input()) from_->out += "HTTP/1.1 100 Continue\r\n\r\n";
}

void body_reader::answer_begins(bool goes_on) {
  if (goes_on && is_awaited()) {
    invite();
    begun_ = true;
  }
  answered_ = true;
}

task<std::size_t> body_reader::read(mutable_buffer room) {
  const auto check = [this](std::uint64_t size) {
    if (size > most_) throw too_long(fmt::format("HTTP: the body has more than the limit of {} bytes", most_));
  };
  if (const auto known = size()) check(*known);
  if (!answered_) invite();
  begun_ = true;
  const std::size_t n = co_await from_->read_body(room);
  count_ += n;
  check(count_);
  co_return n;
}

task<std::size_t> body_reader::read_some(mutable_buffer room) {
  if (at_end() || room.empty()) co_return std::size_t{0};
  failure_ = -1;
  try {
    const std::size_t n = co_await read(room);
    failure_ = 0;
    co_return n;
  } catch (const bad_message& e) {
    failure_ = e.status();
    throw;
  } catch (const closed&) {
    failure_ = 400;  // who has closed one direction may still hear it
    throw;
  } catch (const too_long&) {
    failure_ = 413;
    throw;
  } catch (const timed_out&) {
    failure_ = 408;
    throw;
  } catch (const cancelled&) {
    failure_ = ended_early;
    throw;
  }
}

task<std::string> body_reader::read_all(std::size_t most) {
  most_ = most;
  std::string all;
  std::size_t used = 0;
  constexpr std::size_t least = 65536;
  while (!at_end()) {
    if (used == all.size()) {
      // As much as has come, however much is announced: who announces much may not send it.
      const std::uint64_t left = size() ? *size() - std::min<std::uint64_t>(*size(), used) : least + used;
      all.resize(used + std::clamp<std::uint64_t>(left, 1, std::max(least, used)));
    }
    const std::size_t n = co_await read_some(mutable_buffer(all.data() + used, all.size() - used));
    used += n;
  }
  all.resize(used);
  co_return all;
}

task<> body_writer::write(const_buffer bytes) {
  if (bytes.empty()) co_return;
  to_.check_written();
  if (left_) {
    if (bytes.size() > *left_)
      throw std::length_error(
          fmt::format("HTTP: the body has at least {} bytes more than were announced", bytes.size() - *left_));
  }
  if (chunked_) fmt::format_to(std::back_inserter(to_.out), "{:x}\r\n", bytes.size());
  co_await to_.write(bytes);
  if (chunked_) to_.out += "\r\n";
  co_await to_.flush();
  if (left_) *left_ -= bytes.size();
}

void body_writer::finish() {
  to_.check_written();
  if (left_.value_or(0) != 0)
    throw std::length_error(fmt::format("HTTP: the body has {} bytes less than were announced", *left_));
  if (chunked_) to_.out += "0\r\n\r\n";
}

}  // namespace tutti::io::http
