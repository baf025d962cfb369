#include <apps/tutti/word_count.hpp>

#include <apps/tutti/word_chars.hpp>
#include <apps/tutti/word_scan.hpp>

#include <algorithm>

namespace tutti::app {
namespace {

constexpr std::size_t block_bytes = std::size_t{16}
                                    << 10;  // its edges fit into the first-level cache for any real text

}  // namespace

word_counter::word_counter() : edges_(std::make_unique_for_overwrite<std::uint32_t[]>(block_bytes + edge_slack)) {}

void word_counter::begin_text(std::uint64_t first, std::uint64_t end) {
  kept_.clear();
  unfinished_.clear();
  position_ = 0;
  first_ = first;
  end_ = end;
  in_word_ = false;
  counts_ = false;
}

void word_counter::feed(std::string_view piece) {
  while (!unfinished_.empty() && !piece.empty()) {
    unfinished_.push_back(piece.front());
    piece.remove_prefix(1);
    const std::size_t whole = unfinished_.size() - unfinished_utf8(unfinished_.data(), unfinished_.size());
    feed_whole(unfinished_.data(), whole);
    unfinished_.erase(0, whole);
  }
  if (piece.empty()) return;
  const std::size_t cut = unfinished_utf8(piece.data(), piece.size());
  feed_whole(piece.data(), piece.size() - cut);
  unfinished_ = piece.substr(piece.size() - cut);
}

void word_counter::end_text() {
  feed_whole(unfinished_.data(), unfinished_.size());
  unfinished_.clear();
  if (in_word_) count_kept();
  in_word_ = false;
}

void word_counter::feed_whole(const char* text, std::size_t size) {
  while (size != 0) {
    std::size_t block = std::min(size, block_bytes);
    if (block < size) block -= unfinished_utf8(text, block);
    feed_block(text, block, size);
    text += block;
    size -= block;
  }
}

void word_counter::feed_block(const char* text, std::size_t size, std::size_t readable) {
  const bool continued = in_word_;
  const std::uint32_t* edge = edges_.get();
  std::size_t edges = find_edges(text, size, in_word_, edges_.get());
  const std::uint64_t position = position_;
  position_ += size;
  if (continued) {
    if (edges == 0) return keep(text, size);
    keep(text, *edge++);
    count_kept();
    --edges;
  }
  std::size_t words = edges / 2;
  if (in_word_) {
    const std::uint32_t start = edge[edges - 1];
    counts_ = position + start >= first_ && position + start < end_;
    keep(text + start, size - start);
  }
  for (; position < first_ && words != 0 && position + edge[0] < first_; --words) edge += 2;
  if (position_ > end_) {
    while (words != 0 && position + edge[2 * words - 2] >= end_) --words;
  }
  table_.add_all(text, readable, edge, words);
}

void word_counter::keep(const char* text, std::size_t size) {
  if (counts_) kept_.append(text, std::min(size, longest_word - kept_.size()));
}

void word_counter::count_kept() {
  if (counts_) table_.add(kept_);
  kept_.clear();
}

}  // namespace tutti::app
