// http: HTTP/1.1, both sides.
#pragma once
#include <tutti/io/http/client.hpp>
#include <tutti/io/http/http_error.hpp>
#include <tutti/io/http/message.hpp>
#include <tutti/io/http/routes.hpp>
#include <tutti/io/http/server.hpp>
#include <tutti/io/http/url.hpp>
