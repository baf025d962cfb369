// processes: all of this module.
#pragma once
#include <tutti/base/init.hpp>
#include <tutti/process/lines.hpp>
#include <tutti/process/named_channel.hpp>
#include <tutti/process/process.hpp>
#include <tutti/process/process_channel.hpp>
#include <tutti/process/process_mutex.hpp>
#include <tutti/process/process_pool.hpp>
#include <tutti/process/process_queue.hpp>
#include <tutti/process/process_semaphore.hpp>
#include <tutti/process/shared_array.hpp>
#include <tutti/process/shared_value.hpp>
#include <tutti/process/this_process.hpp>
