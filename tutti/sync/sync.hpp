// sync: locks, and other ways to wait for one another: all of tutti::sync.
#pragma once
#include <tutti/sync/async_guards.hpp>
#include <tutti/sync/guard.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/sync/once.hpp>
#include <tutti/sync/recursive_mutex.hpp>
#include <tutti/sync/shared_mutex.hpp>
