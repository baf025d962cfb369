// task: coroutines: all of tutti::task.
#pragma once
#include <tutti/task/generator.hpp>
