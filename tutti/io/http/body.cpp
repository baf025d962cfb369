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

task<std::size_t> body_reader::read(mutable_buffer room) {
  const auto check = [this](std::uint64_t size) {
    if (size > most_) throw too_long(fmt::format("HTTP: the body has more than the limit of {} bytes", most_));
  };
  if (const auto known = size()) check(*known);
  if (is_awaited() && !from_->has_input()) from_->out += "HTTP/1.1 100 Continue\r\n\r\n";
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
  }
}

task<std::string> body_reader::read_all(std::size_t most) {
  most_ = most;
  std::string all;
  std::size_t used = 0;
  constexpr std::size_t unknown = 16384, believed = 1U << 20;  // who announces much may not send it
  while (!at_end()) {
    if (used == all.size()) {
      const std::uint64_t known = size().value_or(unknown);
      const std::uint64_t more = std::max<std::uint64_t>(known - std::min<std::uint64_t>(known, used), unknown);
      all.resize(used + std::min<std::uint64_t>(used == 0 ? std::min<std::uint64_t>(known, believed) : more,
                                                std::max<std::size_t>(used, believed)));
    }
    const std::size_t n = co_await read_some(mutable_buffer(all.data() + used, all.size() - used));
    used += n;
  }
  all.resize(used);
  co_return all;
}

task<> body_writer::write(const_buffer bytes) {
  if (bytes.empty()) co_return;
  if (left_) {
    if (bytes.size() > *left_)
      throw std::length_error(
          fmt::format("HTTP: the body has at least {} bytes more than were announced", bytes.size() - *left_));
    *left_ -= bytes.size();
  }
  if (chunked_) fmt::format_to(std::back_inserter(to_.out), "{:x}\r\n", bytes.size());
  co_await to_.write(bytes);
  if (chunked_) to_.out += "\r\n";
  co_await to_.flush();
}

void body_writer::finish() {
  if (left_.value_or(0) != 0)
    throw std::length_error(fmt::format("HTTP: the body has {} bytes less than were announced", *left_));
  if (chunked_) to_.out += "0\r\n\r\n";
}

}  // namespace tutti::io::http
