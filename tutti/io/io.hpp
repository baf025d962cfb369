// io: everything of this module.
#pragma once
#include <tutti/io/connect.hpp>
#include <tutti/io/http/http.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/serve.hpp>
#include <tutti/io/stream.hpp>
