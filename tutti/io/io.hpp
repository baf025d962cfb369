// io: everything of this module.
#pragma once
#include <tutti/io/connect.hpp>
#include <tutti/io/file.hpp>
#include <tutti/io/framing.hpp>
#include <tutti/io/http/http.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/serve.hpp>
#include <tutti/io/signals.hpp>
#include <tutti/io/stream.hpp>
#include <tutti/io/tls.hpp>
#include <tutti/io/transient.hpp>
#include <tutti/io/udp.hpp>
#include <tutti/io/watchdog.hpp>
#include <tutti/io/websocket.hpp>
