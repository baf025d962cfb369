"""Python's concurrent.futures and multiprocessing as peers: answers one request per line with numbers.

Started by bench/harness/python.cpp. A request is a case and its arguments; the answer is the case's values.
"""

import collections
import multiprocessing
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

_pools = {}


def pool(threads, cpu=-1):
    """A pool that stays between requests; cpu >= 0 pins its threads there."""
    key = (threads, cpu)
    if key not in _pools:
        pin = (lambda: os.sched_setaffinity(0, {cpu})) if cpu >= 0 else None
        _pools[key] = ThreadPoolExecutor(threads, initializer=pin)
    return _pools[key]


def nothing():
    pass


def sleep_tree(threads, leaves, milliseconds):
    """Milliseconds for `leaves` sleeps on as many threads."""
    ex = pool(threads)
    start = time.perf_counter()
    for f in [ex.submit(time.sleep, milliseconds / 1000) for _ in range(leaves)]:
        f.result()
    return [(time.perf_counter() - start) * 1e3]


def submit(threads, count):
    """Nanoseconds per empty task with a future."""
    ex = pool(threads)
    start = time.perf_counter()
    for f in [ex.submit(nothing) for _ in range(count)]:
        f.result()
    return [(time.perf_counter() - start) * 1e9 / count]


def bulk(threads, count):
    """Nanoseconds per empty task through map."""
    ex = pool(threads)
    start = time.perf_counter()
    collections.deque(ex.map(abs, range(count)), maxlen=0)
    return [(time.perf_counter() - start) * 1e9 / count]


def round_trip(count, pause_us, main_cpu, worker_cpu):
    """Median and 99th percentile of submit + result, in microseconds."""
    before = os.sched_getaffinity(0)
    ex = pool(1, worker_cpu)
    ex.submit(nothing).result()
    os.sched_setaffinity(0, {main_cpu})
    try:
        times = []
        for _ in range(count):
            if pause_us:
                time.sleep(pause_us / 1e6)
            start = time.perf_counter_ns()
            ex.submit(nothing).result()
            times.append(time.perf_counter_ns() - start)
    finally:
        os.sched_setaffinity(0, before)
    times.sort()
    return [times[len(times) // 2] / 1e3, times[min(len(times) - 1, int(len(times) * 0.99))] / 1e3]


def idle(threads):
    """Makes a pool of `threads` that have all run something; its wake-ups are counted from outside."""
    ex = pool(threads)
    for f in [ex.submit(time.sleep, 0.02) for _ in range(threads)]:
        f.result()
    return [0]


# Separators become blanks: translate and split run in C, the quickest way to words that Python has.
_BLANKS = bytes(c if c >= 0x80 or chr(c).isalnum() else 32 for c in range(256))


def _count_files(paths):
    counts = collections.Counter()
    for path in paths:
        with open(path, "rb") as f:
            counts.update(f.read().translate(_BLANKS).split())
    return counts


def words(processes, file_list):
    """Seconds, words and distinct words of counting the files named in `file_list` with multiprocessing.Pool."""
    with open(file_list, encoding="utf-8", errors="surrogateescape") as f:
        paths = f.read().split("\n")
    paths = [p for p in paths if p]
    start = time.perf_counter()
    batches, batch, size = [], [], 0
    for path in paths:
        batch.append(path)
        size += os.path.getsize(path)
        if size >= 8_000_000:
            batches.append(batch)
            batch, size = [], 0
    if batch:
        batches.append(batch)
    total = collections.Counter()
    with multiprocessing.Pool(processes) as workers:
        for counts in workers.imap_unordered(_count_files, batches):
            total.update(counts)
    return [time.perf_counter() - start, sum(total.values()), len(total)]


CASES = {f.__name__: f for f in (sleep_tree, submit, bulk, round_trip, idle, words)}


def main():
    for line in sys.stdin:
        name, *args = line.split()
        try:
            values = CASES[name](*(int(a) if re.fullmatch(r"-?\d+", a) else a for a in args))
            print(*values, flush=True)
        except Exception as e:  # the parent turns it into its own exception
            print("error", type(e).__name__, str(e).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
