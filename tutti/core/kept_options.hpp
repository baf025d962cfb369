// kept_options: call options that outlive the caller's expression.
#pragma once
#include <tutti/core/call.hpp>

namespace tutti::detail {

/// Copies what call_options only refers to.
class kept_options {
 public:
  explicit kept_options(const call_options& options)
      : options_(options), token_(options.stop.token()), has_token_(!options.stop.empty()) {
    options_.name = intern(options.name);
  }
  /// Valid while this object lives, unmoved.
  call_options get() const noexcept {
    call_options result = options_;
    result.stop = has_token_ ? stop_ref(token_) : stop_ref();
    return result;
  }

 private:
  call_options options_;
  std::stop_token token_;
  bool has_token_;
};

}  // namespace tutti::detail
