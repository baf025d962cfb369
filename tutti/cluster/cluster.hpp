// cluster: all of tutti/cluster that programs use: tasks for a fleet of workers, and the workers.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/async_result.hpp>
#include <tutti/cluster/cluster_pool.hpp>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/signature.hpp>
#include <tutti/cluster/this_call.hpp>
#include <tutti/cluster/worker.hpp>
