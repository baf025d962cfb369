// tutti: the client and the worker of the cluster benchmark that are ours.
#include <stdexcept>

#include "systems.hpp"

namespace bench::cluster {

int serve_client(const std::string& url) { throw std::runtime_error("no tutti client for " + url); }
int run_worker(const std::string& url, const std::string&, const std::string&) {
  throw std::runtime_error("no tutti worker for " + url);
}

}  // namespace bench::cluster
