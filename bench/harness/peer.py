"""Python's concurrent.futures, multiprocessing, asyncio and uvloop as peers: answers a request per line with numbers.

Started by bench/harness/python.cpp. A request is a case and its arguments; the answer is the case's values.
"""

import asyncio
import collections
import functools
import multiprocessing
import os
import random
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # an isolated interpreter does not look there
import peer_process
import peer_sync
from peer_loop import event_loop, resident, timed

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


# --- coroutines, on asyncio's loop or on uvloop ---------------------------------------------------------------------


def sums(body):
    """The case that awaits body(count), which must give 0 + 1 + ... + (count - 1). Nanoseconds per operation."""

    @functools.wraps(body)
    def case(count, system):
        ns, total = timed(system, lambda: body(count))
        if total != count * (count - 1) // 2:
            raise ArithmeticError(f"the sum is {total}")
        return [ns / count]

    return case


async def child(i):
    return i


@sums
async def spawn(count):
    create_task = asyncio.get_running_loop().create_task
    total = 0
    for i in range(count):
        total += await create_task(child(i))
    return total


@sums
async def await_child(count):
    total = 0
    for i in range(count):
        total += await child(i)
    return total


@sums
async def take_turns(count):
    turn = total = 0

    async def play(me):
        nonlocal turn, total
        for i in range(me, count, 2):
            if turn == i:
                total += i
            turn += 1
            await asyncio.sleep(0)

    await asyncio.gather(play(0), play(1))
    return total


@sums
async def when_all(count):
    # 1.5 to 1.9 times as fast as gather and TaskGroup, which have a callback for every task.
    create_task = asyncio.get_running_loop().create_task
    tasks = [create_task(child(i)) for i in range(count)]
    return sum([await t for t in tasks])


@sums
async def generate(count):
    def integers():
        for i in range(count):
            yield i

    return sum(integers())


@functools.cache
def timer_plan(count):
    rng = random.Random(count)
    return [rng.uniform(60, 3600) for _ in range(count)], rng.sample(range(count), count)


def timers(count, system):
    """Nanoseconds per timer that is set and, in another order, cancelled."""
    delays, cancel_order = timer_plan(count)

    async def work():
        call_later = asyncio.get_running_loop().call_later
        handles = [call_later(delay, nothing) for delay in delays]
        for i in cancel_order:
            handles[i].cancel()
        await asyncio.sleep(0)  # a round of the loop, which drops cancelled timers
        return handles

    ns, handles = timed(system, work)
    if not all(h.cancelled() for h in handles):
        raise ArithmeticError("a timer was not cancelled")
    return [ns / count]


def sleepers(count, system):
    """Bytes by which this process grows per task that sleeps."""

    async def grow(n):
        before = resident()
        tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(n)]
        await asyncio.sleep(0)  # all have begun
        grown = resident() - before
        for t in tasks:
            t.cancel()
        await asyncio.wait(tasks)
        if not all(t.cancelled() for t in tasks):
            raise ArithmeticError("a task did not sleep")
        return grown / n

    loop = event_loop(system)
    loop.run_until_complete(grow(10))  # sets up what is shared
    return [loop.run_until_complete(grow(count))]


CASES = {f.__name__: f for f in (sleep_tree, submit, bulk, round_trip, idle, words, spawn, await_child, take_turns,
                                 when_all, generate, timers, sleepers, *peer_process.CASES, *peer_sync.CASES)}


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
