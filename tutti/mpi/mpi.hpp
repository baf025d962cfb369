// mpi: everything of tutti::mpi but the C API's own handles, which are in native.hpp.
#pragma once
#include <tutti/mpi/communicator.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/error.hpp>
#include <tutti/mpi/op.hpp>
#include <tutti/mpi/rank_pool.hpp>
#include <tutti/mpi/request.hpp>
#include <tutti/mpi/run.hpp>
#include <tutti/mpi/status.hpp>
#include <tutti/mpi/to_future.hpp>
#include <tutti/mpi/value_request.hpp>
