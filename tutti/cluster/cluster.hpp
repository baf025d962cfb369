// cluster: all that programs of tutti/cluster use: tasks for a fleet of workers, the workers, and how main begins.
#pragma once
#include <tutti/base/init.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/async_result.hpp>
#include <tutti/cluster/cluster_pool.hpp>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/signature.hpp>
#include <tutti/cluster/this_call.hpp>
#include <tutti/cluster/worker.hpp>
#include <tutti/core/make_executor.hpp>
