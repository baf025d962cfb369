// systems: crawlers. Each begins at http://127.0.0.1:PORT/page/0 and follows links, `most` requests at once, each page
// once; it counts the pages that it got.
#pragma once

#include <cstddef>

namespace bench::crawl {

/// Serves `pages` pages, each with links to two others and to one that was seen before, and nothing else but text.
/// tutti's server, for all crawlers: it is faster than those in Python; tutti's own may be held up by it.
void serve_pages();
constexpr int pages = 4000;

/// tutti's client: how many pages.
std::size_t crawl_tutti(int port, int most);

}  // namespace bench::crawl
