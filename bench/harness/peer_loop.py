"""What the cases of coroutines share: a loop per system, its clock, memory."""

import asyncio
import functools
import gc
import re
import time


@functools.cache
def event_loop(system):
    if system == "uvloop":
        import uvloop  # may be missing: then only its own cases fail

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def timed(system, work):
    """Nanoseconds that `await work()` takes on that system's loop, and its result. As timeit does, without the cycle
    collector: it would double the cost of every case with many tasks."""
    loop = event_loop(system)
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter_ns()
        result = loop.run_until_complete(work())
        return time.perf_counter_ns() - start, result
    finally:
        gc.enable()


def resident():
    """Bytes of this process in memory."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"^Rss: *(\d+) kB", f.read(), re.MULTILINE)[1]) * 1024
