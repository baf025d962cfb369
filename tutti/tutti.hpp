// tutti: every module this program links. Include the headers you use instead where compile time matters.
#pragma once
#ifndef TUTTI_LINKS_CORE  // every other module brings it
#error tutti/tutti.hpp includes the modules that a program links, and this one links none: write target_link_libraries(my_program PRIVATE tutti::core), or another module, in CMake; or include what is used, such as <tutti/core/core.hpp>
#endif
#ifdef TUTTI_LINKS_CORE
#include <tutti/core/core.hpp>
#endif
#ifdef TUTTI_LINKS_PARALLEL
#include <tutti/parallel/parallel.hpp>
#endif
#ifdef TUTTI_LINKS_TASK
#include <tutti/task/task.hpp>
#endif
#ifdef TUTTI_LINKS_SYNC
#include <tutti/sync/sync.hpp>
#endif
#ifdef TUTTI_LINKS_CHANNEL
#include <tutti/channel/channels.hpp>
#endif
#ifdef TUTTI_LINKS_PROCESS
#include <tutti/process/processes.hpp>
#endif
#ifdef TUTTI_LINKS_IO
#include <tutti/io/io.hpp>
#endif
#ifdef TUTTI_LINKS_MPI
#include <tutti/mpi/mpi.hpp>
#endif
#ifdef TUTTI_LINKS_CLUSTER
#include <tutti/cluster/cluster.hpp>
#endif
#ifdef TUTTI_LINKS_TRACE
#include <tutti/trace/trace.hpp>
#endif
