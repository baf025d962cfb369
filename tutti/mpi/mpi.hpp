// mpi: everything of tutti::mpi but the C API's own handles, which are in native.hpp.
#pragma once
#include <tutti/mpi/cartesian.hpp>
#include <tutti/mpi/communicator.hpp>
#include <tutti/mpi/dist_graph.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/error.hpp>
#include <tutti/mpi/file.hpp>
#include <tutti/mpi/op.hpp>
#include <tutti/mpi/ordered.hpp>
#include <tutti/mpi/rank_pool.hpp>
#include <tutti/mpi/request.hpp>
#include <tutti/mpi/run.hpp>
#include <tutti/mpi/shared_window.hpp>
#include <tutti/mpi/status.hpp>
#include <tutti/mpi/to_future.hpp>
#include <tutti/mpi/value_request.hpp>
#include <tutti/mpi/window.hpp>
