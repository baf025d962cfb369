# The front door. `make demo` and `make test` do everything on a fresh Debian 12 machine; `make help` lists the rest.
JOBS ?= $(shell nproc)
CTEST = ctest --output-on-failure --no-tests=error -j $(JOBS)
# Arguments for `tutti demo` and for the benchmarks: make demo DEMO="/usr/share/doc --on threads:2", make bench BENCH=--quick
DEMO ?=
BENCH ?=
PREFIX ?= /usr/local

.PHONY: help setup demo build test test-soak bench test-asan test-tsan fuzz format check-format tidy install clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup:  ## install the Debian packages that are missing
	@scripts/setup

demo: setup  ## count the words of this machine's texts, on every executor; then what the timeline of that says
	@cmake --preset release --log-level=WARNING
	@cmake --build build -j $(JOBS) --target tutti_tutti
	@mkdir -p build/demo
	@# On four ranks; rank 0 records, and has a row for each other executor too.
	@build/bin/tutti run -n 4 --no-prefix sh -c 'test "$${OMPI_COMM_WORLD_RANK:-$${PMI_RANK:-0}}" != 0 || \
	  export TUTTI_TRACE=build/demo/timeline.json; exec build/bin/tutti demo $(DEMO)'
	@echo
	@build/bin/tutti trace build/demo/timeline.json

build: setup  ## build everything, optimised
	@cmake --preset release --log-level=WARNING
	@cmake --build build -j $(JOBS)

test: build  ## build and run all tests
	@cd build && $(CTEST)

test-soak: build  ## correct programs under the deadlock watch for some minutes; the memory of workers over a million tasks
	@cd build && TUTTI_SOAK_SECONDS=8 TUTTI_SOAK_TASKS=1000000 $(CTEST) -L '^soak$$' -j 1

bench: setup  ## measure against the peers: bench/results/*.json and the tables of docs/PERFORMANCE.md
	@cmake --preset release --log-level=WARNING
	@cmake --build build -j $(JOBS) --target benches
	@scripts/bench $(BENCH)

test-asan:  ## all tests built by clang-19 with the address and undefined behaviour sanitizers
test-tsan:  ## all tests built by clang-19 with the thread sanitizer
test-asan test-tsan: test-%: setup
	@cmake --preset $* --log-level=WARNING
	@cmake --build build-$* -j $(JOBS)
	@cd build-$* && $(CTEST)

fuzz: setup  ## fuzz the parsers with libFuzzer, ten seconds each
	@cmake --preset fuzz --log-level=WARNING
	@cmake --build build-fuzz -j $(JOBS) --target fuzzers
	@cd build-fuzz && $(CTEST) -L '^fuzz$$'

format: setup  ## format all sources
	@scripts/format

check-format: setup  ## fail if a source is not formatted
	@scripts/format --check

tidy: build  ## clang-tidy over the files changed since the last commit
	@scripts/tidy

install: build  ## install to PREFIX (/usr/local)
	@cmake --install build --prefix $(PREFIX)

clean:  ## remove all builds
	rm -rf build build-*
