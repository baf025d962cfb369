// core: executors, futures, fork_join: all of tutti::core.
#pragma once
#include <tutti/core/concurrency.hpp>
#include <tutti/core/dump.hpp>
#include <tutti/core/executor.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/future.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/local_executor.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/per_worker.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/core/when.hpp>
