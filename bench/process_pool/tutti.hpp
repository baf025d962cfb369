// tutti: what the parts of the benchmark that use tutti share.
#pragma once

#include <tutti/process/process_pool.hpp>

#include "systems.hpp"

namespace bench::process_pool {

/// What make_tutti makes.
class pool_of_tutti : public pool {
 public:
  virtual tutti::process_pool& inside() = 0;
};

}  // namespace bench::process_pool
