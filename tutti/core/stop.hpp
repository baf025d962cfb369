// stop: how a stop request is handed to a call without giving option structs a destructor.
#pragma once
#include <stop_token>

namespace tutti {

/// A view of a std::stop_token (or of a std::stop_source's token kept by the caller), valid while that token lives;
/// what it is handed to copies the token before it returns. Trivially destructible, so that option structs are too: g++
/// 12 destroys aggregates with destructors twice in `co_await` expressions.
class stop_ref {
 public:
  constexpr stop_ref() = default;
  stop_ref(const std::stop_token& token) noexcept : token_(&token) {}  // NOLINT(google-explicit-constructor): a view

  /// The token, or one that can never be stopped.
  std::stop_token token() const { return token_ == nullptr ? std::stop_token() : *token_; }
  bool empty() const noexcept { return token_ == nullptr; }

 private:
  const std::stop_token* token_ = nullptr;
};

}  // namespace tutti
