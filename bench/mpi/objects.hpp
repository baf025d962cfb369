// objects: values of tutti that must be encoded, on their way between two ranks.
#pragma once

#include <cstddef>
#include <string_view>

namespace bench::mpi {

/// See system::objects. `what`: "trip", "bcast", "gather", into values that are there, the same with "_new" behind it
/// for new ones, "allreduce"; `type`: "texts", "lists".
double object_figure(std::string_view what, std::string_view type, std::size_t count);

}  // namespace bench::mpi
