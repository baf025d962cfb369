// channels: all of tutti::channel, and the errors it throws.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/channel/broadcast.hpp>
#include <tutti/channel/channel.hpp>
#include <tutti/channel/ends.hpp>
#include <tutti/channel/select.hpp>
