// parallel: loops over all cores: all of tutti::parallel.
#pragma once
#include <tutti/parallel/for.hpp>
#include <tutti/parallel/reduce.hpp>
