// sync: locks, signals, threads, and the watch that explains deadlocks: all of tutti::sync.
#pragma once
#include <tutti/sync/async_guards.hpp>
#include <tutti/sync/barrier.hpp>
#include <tutti/sync/condition.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/sync/guard.hpp>
#include <tutti/sync/latch.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/sync/once.hpp>
#include <tutti/sync/recursive_mutex.hpp>
#include <tutti/sync/semaphore.hpp>
#include <tutti/sync/shared_mutex.hpp>
#include <tutti/sync/thread.hpp>
#include <tutti/sync/watch.hpp>
