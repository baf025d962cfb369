// channels: all of tutti::channel.
#pragma once
#include <tutti/channel/channel.hpp>
#include <tutti/channel/ends.hpp>
