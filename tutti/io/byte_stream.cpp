#include <tutti/io/byte_stream.hpp>

#include <tutti/io/inside/reactor.hpp>

namespace tutti::io::detail {

void byte_stream::dispose_here() noexcept {
  close();
  disposed_ = true;
  if (under_way_ == 0) delete this;
}

void byte_stream::dispose() noexcept {
  reactor& loop = reactor::of(where());
  if (reactor::here_if_any() == &loop) return dispose_here();
  // The thread that drives the loop does it, now or in the loop's end.
  const std::shared_ptr<reactor> kept = loop.shared_from_this();
  const auto engine = loop.engine.lock();
  if (engine != nullptr && engine->hand_over(disposal_)) return;
  loop.run_when_over(call(&disposal_));
}

}  // namespace tutti::io::detail
