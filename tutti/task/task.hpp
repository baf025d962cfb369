// task: coroutines: all of tutti::task.
#pragma once
#include <tutti/task/async_generator.hpp>
#include <tutti/task/coroutine.hpp>
#include <tutti/task/for_each_async.hpp>
#include <tutti/task/generator.hpp>
#include <tutti/task/resume_on.hpp>
#include <tutti/task/retry.hpp>
#include <tutti/task/sleep.hpp>
#include <tutti/task/spawn.hpp>
#include <tutti/task/submit.hpp>
#include <tutti/task/sync_wait.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/when.hpp>
#include <tutti/task/with_timeout.hpp>
#include <tutti/task/yield.hpp>
