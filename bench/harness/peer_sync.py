"""Python's locks and queues, between threads and between coroutines: the cases of peer.py for `sync` and `channel`.

`cores` is 1 or 2: all threads of the case on the first core, or each on its own.
"""

import asyncio
import os
import queue
import threading
import time

from peer_loop import event_loop, resident, timed

_CPUS = sorted(os.sched_getaffinity(0))


def together(cores, *bodies):
    """Runs the bodies as pinned threads; nanoseconds from the first's begin to the last's end."""
    times, errors, all_here = [], [], threading.Barrier(len(bodies))

    def run(i, body):
        try:
            os.sched_setaffinity(0, {_CPUS[i % min(cores, len(_CPUS))]})
            all_here.wait()
            times.append(time.perf_counter_ns())
            body()
            times.append(time.perf_counter_ns())
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i, body)) for i, body in enumerate(bodies)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return max(times) - min(times)


def check(right, wrong):
    if not right:
        raise ArithmeticError(wrong)


# --- threads --------------------------------------------------------------------------------------------------------


def lock(count, cores, kind):
    """Nanoseconds per lock, or permit, that nobody else wants."""
    own = getattr(threading, kind)()
    start = time.perf_counter_ns()
    for _ in range(count):
        own.acquire()
        own.release()
    return [(time.perf_counter_ns() - start) / count]


def contend(count, cores, kind):
    """Two threads add under a lock until the total is reached: million times per second, the smaller share in percent."""
    own, total, shares = getattr(threading, kind)(), 0, []

    def take_part():
        nonlocal total
        mine = 0
        while True:
            with own:
                if total == count:
                    break
                total += 1
            mine += 1
        shares.append(mine)

    ns = together(cores, take_part, take_part)
    check(sum(shares) == count, "an addition was lost")
    return [count * 1e3 / ns, min(shares) * 100 / count]


def signal_turns(count, cores, kind):
    """Two threads wake each other: microseconds per round trip."""
    if kind == "Semaphore":
        ping, pong = threading.Semaphore(0), threading.Semaphore(0)
        give, take = threading.Semaphore.release, threading.Semaphore.acquire
    else:
        ping, pong = threading.Event(), threading.Event()
        give = threading.Event.set

        def take(event):
            event.wait()
            event.clear()

    turns = 0

    def first():
        nonlocal turns
        for _ in range(count):
            turns += 1
            give(ping)
            take(pong)

    def second():
        nonlocal turns
        for _ in range(count):
            take(ping)
            turns += 1
            give(pong)

    ns = together(cores, first, second)
    check(turns == 2 * count, "a turn was lost")
    return [ns / count / 1e3]


def set_and_wait(count, cores):
    """Nanoseconds per event that is set, waited for and cleared."""
    event = threading.Event()
    start = time.perf_counter_ns()
    for _ in range(count):
        event.set()
        event.wait()
        event.clear()
    return [(time.perf_counter_ns() - start) / count]


def meet(count, cores):
    """Two threads at a barrier: nanoseconds per phase."""
    barrier = threading.Barrier(2)

    def take_part():
        for _ in range(count):
            barrier.wait()

    return [together(cores, take_part, take_part) / count]


def queue_stream(count, cores, capacity):
    """One thread puts numbers, another gets them: million elements per second. Capacity 0 is unbounded."""
    q, total = queue.Queue(capacity), 0

    def write():
        put = q.put
        for i in range(count):
            put(i)

    def read():
        nonlocal total
        get = q.get
        for _ in range(count):
            total += get()

    ns = together(cores, write, read)
    check(total == count * (count - 1) // 2, f"the sum is {total}")
    return [count * 1e3 / ns]


# --- coroutines -----------------------------------------------------------------------------------------------------


def lock_async(count, cores, system):
    """Nanoseconds per asyncio.Lock that nobody else wants."""

    async def work():
        own = asyncio.Lock()
        for _ in range(count):
            await own.acquire()
            own.release()

    return [timed(system, work)[0] / count]


def hand_over(count, cores, system):
    """Two coroutines hand an asyncio.Lock to each other: nanoseconds per lock."""

    async def work():
        own, turns, changes, last = asyncio.Lock(), 0, 0, None

        async def take_part(me):
            nonlocal turns, changes, last
            for _ in range(count // 2):
                await own.acquire()
                turns += 1
                changes += last != me
                last = me
                await asyncio.sleep(0)
                own.release()
                await asyncio.sleep(0)

        await asyncio.gather(take_part(0), take_part(1))
        return turns, changes

    ns, (turns, changes) = timed(system, work)
    check(turns == count // 2 * 2 and changes > count // 2, "the lock was not handed over")
    return [ns / count]


def async_stream(count, cores, capacity, system):
    """One coroutine puts numbers into an asyncio.Queue, another gets them: million elements per second."""

    async def work():
        q = asyncio.Queue(capacity)

        async def write():
            for i in range(count):
                await q.put(i)

        writer = asyncio.create_task(write())
        total = 0
        for _ in range(count):
            total += await q.get()
        await writer
        return total

    ns, total = timed(system, work)
    check(total == count * (count - 1) // 2, f"the sum is {total}")
    return [count * 1e3 / ns]


def async_turns(count, cores, system):
    """Two coroutines send numbers to and fro: nanoseconds per round trip."""

    async def work():
        there, back = asyncio.Queue(1), asyncio.Queue(1)

        async def answer():
            for _ in range(count):
                await back.put(await there.get() + 1)

        partner = asyncio.create_task(answer())
        total = 0
        for i in range(count):
            await there.put(i)
            total += await back.get()
        await partner
        return total

    ns, total = timed(system, work)
    check(total == count * (count + 1) // 2, f"the sum is {total}")
    return [ns / count]


# --- memory ---------------------------------------------------------------------------------------------------------


def waiters(count, system, begin, let_go):
    """Bytes by which this process grows per task that waits in `begin()`, until `let_go()` has run."""

    async def grow(n):
        before = resident()
        tasks = [asyncio.create_task(begin()) for _ in range(n)]
        await asyncio.sleep(0)  # all have begun
        grown = resident() - before
        check(not any(t.done() for t in tasks), "a task did not wait")
        await let_go(n)
        await asyncio.wait(tasks)
        return grown / n

    loop = event_loop(system)
    loop.run_until_complete(grow(10))  # sets up what is shared
    return [loop.run_until_complete(grow(count))]


def lock_waiters(count, system):
    own = asyncio.Lock()
    event_loop(system).run_until_complete(own.acquire())

    async def begin():
        async with own:
            pass

    async def let_go(n):
        own.release()
        await own.acquire()  # behind all of them

    return waiters(count, system, begin, let_go)


def queue_waiters(count, system):
    q = asyncio.Queue()

    async def let_go(n):
        for i in range(n):
            q.put_nowait(i)

    return waiters(count, system, q.get, let_go)


def idle_queues(count, capacity, kind):
    """Bytes by which this process grows per queue that was made."""
    make = {"queue.Queue": queue.Queue, "asyncio.Queue": asyncio.Queue}[kind]
    make(capacity)
    before = resident()
    kept = [make(capacity) for _ in range(count)]
    grown = resident() - before
    check(len(kept) == count, "they are gone")
    return [grown / count]


CASES = (lock, contend, signal_turns, set_and_wait, meet, queue_stream, lock_async, hand_over,
         async_stream, async_turns, lock_waiters, queue_waiters, idle_queues)
