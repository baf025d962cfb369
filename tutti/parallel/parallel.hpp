// parallel: algorithms over all cores: all of tutti::parallel.
#pragma once
#include <tutti/parallel/box.hpp>
#include <tutti/parallel/for.hpp>
#include <tutti/parallel/for_each.hpp>
#include <tutti/parallel/partition.hpp>
#include <tutti/parallel/pipeline.hpp>
#include <tutti/parallel/reduce.hpp>
#include <tutti/parallel/scan.hpp>
#include <tutti/parallel/sort.hpp>
#include <tutti/parallel/stable_sort.hpp>
#include <tutti/parallel/transform_reduce.hpp>
