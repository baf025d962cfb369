#include <tutti/io/http/message.hpp>

#include <tutti/io/http/http_error.hpp>
#include <tutti/io/http/url.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include <boost/beast/http/status.hpp>

namespace tutti::io::http {

namespace {

bool is_host(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && std::string_view("/?#@\\,\"<>").find(c) == std::string_view::npos;
  });
}

bool is_scheme(std::string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !text.empty() && is_letter(text.front()) && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  });
}

}  // namespace

void request::begin(std::size_t most_body) {
  most_body_ = most_body;
  params_.clear();
  queries_.reset();
  path_ = query_ = host_ = {};
}

void request::split_target() {
  std::string_view target = head_.target;
  host_ = head_.headers.get("Host", "");
  if (!is_host(host_))
    throw bad_message(fmt::format("HTTP request: the header Host, {:?}, is no host", host_.substr(0, 100)), 400);
  if (target.find('#') != std::string_view::npos)
    throw bad_message(fmt::format("HTTP request: the target {:?} has a \"#\" in it", target.substr(0, 100)), 400);
  if (target.empty() || target.front() != '/') {
    if (target == "*" && head_.method == "OPTIONS") {
      path_ = target;
      return;
    }
    // The whole URL, as for a proxy; its host goes before the header's.
    const std::size_t at = target.find("://");
    if (at == std::string_view::npos || !is_scheme(target.substr(0, at)))
      throw bad_message(fmt::format("HTTP request: the target {:?} is neither a path nor a URL", target.substr(0, 100)),
                        400);
    target.remove_prefix(at + 3);
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    host_ = target.substr(0, end);
    host_.remove_prefix(host_.rfind('@') + 1);  // npos + 1 is 0
    target.remove_prefix(end);
    if (host_.empty() || !is_host(host_))
      throw bad_message(fmt::format("HTTP request: the target has no host, or the bad one {:?}", host_.substr(0, 100)),
                        400);
    if (!target.starts_with('/')) {
      absolute_.assign("/").append(target);
      target = absolute_;
    }
  }
  const std::size_t mark = std::min(target.find('?'), target.size());
  path_ = target.substr(0, mark);
  query_ = target.substr(std::min(mark + 1, target.size()));
}

const std::string& request::param(std::string_view name) const {
  for (const auto& [key, value] : params_)
    if (key == name) return value;
  throw std::out_of_range(fmt::format("HTTP request: the route's pattern has no {{{}}}", name));
}

const std::vector<std::pair<std::string, std::string>>& request::queries() const {
  if (!queries_) queries_ = parse_query(query_);
  return *queries_;
}

std::optional<std::string> request::query(std::string_view name) const {
  for (const auto& [key, value] : queries())
    if (key == name) return value;
  return std::nullopt;
}

void detail::throw_answered(const std::string& method, const std::string& url, int status) {
  const std::string asked = url.empty() ? "HTTP" : method + ' ' + url;
  throw http_error(fmt::format("{}: answered: {} {}", asked, status, reason(status)), url, "answered", status, nullptr);
}

void response::throw_if_error() const {
  if (status < 400) return;
  detail::throw_answered(method, url, status);
}

status_error::status_error(int status, std::string text)
    : error(fmt::format("{} {}", status, text.empty() ? reason(status) : text)),
      status_(status),
      text_(text.empty() ? fmt::format("{} {}\n", status, reason(status)) : std::move(text)) {
  if (status < 400 || status > 599)
    throw std::invalid_argument(fmt::format("http::status_error: {} is no error's status: give 400 to 599", status));
}

std::string_view reason(int status) noexcept {
  const auto text = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  if (text == "<unknown-status>") return {};
  return {text.data(), text.size()};
}

}  // namespace tutti::io::http
