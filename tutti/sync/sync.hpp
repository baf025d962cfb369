// sync: locks, and other ways to wait for one another: all of tutti::sync.
#pragma once
#include <tutti/sync/mutex.hpp>
