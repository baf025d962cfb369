// channels: all of tutti::channel.
#pragma once
#include <tutti/channel/broadcast.hpp>
#include <tutti/channel/channel.hpp>
#include <tutti/channel/ends.hpp>
#include <tutti/channel/select.hpp>
