"""Python's pools of processes, queues and shared memory: the cases of peer.py for `process_pool`.

`kind` is executor (concurrent.futures.ProcessPoolExecutor), pool (multiprocessing.Pool) or loky. Pools stay between
requests, until process_close.
"""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

_open = {}


def nothing():
    pass


def same(i):
    return i


def rest():
    time.sleep(0.02)


def pin(cpu):
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})


_ALL = 0xFFFFFFFFFFFFFFFF


def is_hit(i):
    """1 when the i-th point lies in the quarter of the unit circle: its coordinates are the halves of splitmix64(i)."""
    z = i * 0x9E3779B97F4A7C15 & _ALL
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _ALL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _ALL
    z ^= z >> 31
    x, y = (z >> 32) / 4294967296, (z & 0xFFFFFFFF) / 4294967296
    return 1 if x * x + y * y < 1 else 0


class Futures:
    """An executor of concurrent.futures, or loky's, which is like it."""

    def __init__(self, made, workers):
        self.made, self.workers = made, workers
        self.submit = made.submit

    def call(self, f, *args):
        return self.submit(f, *args).result()

    def each(self, f, count):
        submit = self.submit
        return [r.result() for r in [submit(f) for _ in range(count)]]

    def map(self, f, items, chunk):
        # Without a chunk size of their own: as multiprocessing.Pool, which is far better than their 1.
        return self.made.map(f, items, chunksize=chunk or -(-len(items) // (4 * self.workers)))

    def pids(self):
        return list(self.made._processes)

    def close(self):
        self.made.shutdown(wait=True)


class Pool:
    def __init__(self, workers, initializer, arguments):
        self.made = multiprocessing.Pool(workers, initializer, arguments)

    def call(self, f, *args):
        return self.made.apply(f, args)

    def each(self, f, count):
        start = self.made.apply_async
        return [r.get() for r in [start(f) for _ in range(count)]]

    def map(self, f, items, chunk):
        return self.made.map(f, items, chunksize=chunk or None)

    def pids(self):
        return [p.pid for p in self.made._pool]

    def close(self):
        self.made.close()
        self.made.join()


def make(kind, workers, cpu=-1):
    if kind == "pool":
        return Pool(workers, pin, (cpu,))
    if kind == "loky":
        from joblib.externals import loky  # may be missing: then only its own cases fail

        return Futures(loky.ProcessPoolExecutor(workers, initializer=pin, initargs=(cpu,)), workers)
    return Futures(ProcessPoolExecutor(workers, initializer=pin, initargs=(cpu,)), workers)


def pool(kind, workers, cpu=-1):
    key = (kind, workers, cpu)
    if key not in _open:
        made = _open[key] = make(*key)
        # All workers begin: executors start them as they are needed.
        list(made.map(_rest_of, range(2 * workers), 1))
    return _open[key]


def _rest_of(_):
    rest()


def process_close():
    """Ends the pools of the case before."""
    while _open:
        _open.popitem()[1].close()
    return [0]


def process_start(kind, workers):
    """Milliseconds from nothing to the first result, and for the end."""
    start = time.perf_counter()
    fresh = make(kind, workers)
    fresh.call(nothing)
    first = time.perf_counter()
    fresh.close()
    return [(first - start) * 1e3, (time.perf_counter() - first) * 1e3]


def process_round_trip(kind, count, pause_us, main_cpu, worker_cpu):
    """Median and 99th percentile of a call of nothing, in microseconds. The pool's threads are on this one's core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {main_cpu})
    try:
        call = pool(kind, 1, worker_cpu).call
        times = []
        for _ in range(count):
            if pause_us:
                time.sleep(pause_us / 1e6)
            start = time.perf_counter_ns()
            call(nothing)
            times.append(time.perf_counter_ns() - start)
    finally:
        os.sched_setaffinity(0, before)
    times.sort()
    return [times[len(times) // 2] / 1e3, times[min(len(times) - 1, int(len(times) * 0.99))] / 1e3]


def process_each(kind, workers, count):
    """Tasks per second, each with a future."""
    each = pool(kind, workers).each
    start = time.perf_counter()
    each(nothing, count)
    return [count / (time.perf_counter() - start)]


def process_map(kind, workers, count, chunk):
    """Elements per second. Chunk 0: the system's own choice."""
    call = pool(kind, workers).map
    start = time.perf_counter()
    results = list(call(same, range(count), chunk))
    took = time.perf_counter() - start
    if results != list(range(count)):
        raise ArithmeticError("map lost something")
    return [count / took]


def process_hits(kind, workers, count, chunk, expected):
    """Milliseconds for the points in the circle."""
    call = pool(kind, workers).map
    start = time.perf_counter()
    hits = sum(call(is_hit, range(count), chunk))
    took = time.perf_counter() - start
    if hits != expected:
        raise ArithmeticError(f"{hits} hits")
    return [took * 1e3]


def die():
    os.kill(os.getpid(), 9)


def process_death(kind):
    """Milliseconds from a call that kills its worker to its error, and from there to the next result: of another pool,
    as this one is broken. multiprocessing.Pool never tells."""
    made = make(kind, 2)
    made.map(_rest_of, range(4), 1)
    start = time.perf_counter()
    try:
        made.call(die)
    except Exception:  # BrokenProcessPool, TerminatedWorkerError
        told = time.perf_counter()
    made.close()
    fresh = make(kind, 2)
    fresh.call(nothing)
    again = time.perf_counter()
    fresh.close()
    return [(told - start) * 1e3, (again - told) * 1e3]


def process_pids(kind, workers):
    return pool(kind, workers).pids()


# --- arrays ---------------------------------------------------------------------------------------------------------


def give_back(array):
    return array


def _array(size):
    import numpy  # may be missing: then only its own cases fail

    return numpy.arange(size, dtype=float)


def _check(array, size):
    if len(array) != size or array[0] != 0 or array[size - 1] != size - 1:
        raise ArithmeticError("the array is wrong")


def process_by_value(kind, size):
    """Milliseconds for an array of doubles there and back."""
    array = _array(size)
    if kind == "joblib":  # writes large arguments to a file in memory, which the worker maps
        import joblib

        with joblib.Parallel(2) as workers:
            workers(joblib.delayed(nothing)() for _ in range(4))
            start = time.perf_counter()
            array = workers([joblib.delayed(give_back)(array)])[0]
            took = time.perf_counter() - start
    else:
        call = pool(kind, 1).call
        call(nothing)
        start = time.perf_counter()
        array = call(give_back, array)
        took = time.perf_counter() - start
    _check(array, size)
    return [took * 1e3]


def touch(name, size):
    from multiprocessing import shared_memory

    import numpy

    segment = shared_memory.SharedMemory(name)
    array = numpy.ndarray((size,), float, segment.buf)
    array[0] += 1
    array[size - 1] += 1
    del array
    segment.close()
    return name


def process_by_handle(kind, size, count):
    """Milliseconds for an array in shared memory there and back, on average."""
    from multiprocessing import shared_memory

    import numpy

    segment = shared_memory.SharedMemory(create=True, size=8 * size)
    try:
        array = numpy.ndarray((size,), float, segment.buf)
        array[:] = 0
        call = pool(kind, 1).call
        call(touch, segment.name, size)
        start = time.perf_counter()
        for _ in range(count):
            call(touch, segment.name, size)
        took = time.perf_counter() - start
        right = array[0] == count + 1 == array[size - 1]
        del array
        if not right:
            raise ArithmeticError("a write was lost")
    finally:
        segment.close()
        segment.unlink()
    return [took * 1e3 / count]


# --- messages and counters ------------------------------------------------------------------------------------------


def _send(give, ready, count, blob, cpu):
    pin(cpu)
    ready.recv()
    if blob:
        content = b"x" * blob
        for _ in range(count):
            give(content)
    else:
        for i in range(count):
            give(i)


def _send_queue(queue, *rest):
    _send(queue.put, *rest)


def _send_pipe(pipe, *rest):
    _send(pipe.send_bytes if rest[2] else pipe.send, *rest)


def process_messages(count, kind, blob, main_cpu, sender_cpu):
    """A process sends numbers, or `blob` bytes at a time, and this one receives. Millions per second, or GB/s."""
    before = os.sched_getaffinity(0)
    go, ready = multiprocessing.Pipe()
    if kind == "Queue":
        channel = multiprocessing.Queue(1024 if not blob else 8)
        target, end, take = _send_queue, channel, channel.get
    else:
        reader, end = multiprocessing.Pipe(False)
        target, take = _send_pipe, reader.recv_bytes if blob else reader.recv
    process = multiprocessing.Process(target=target, args=(end, ready, count, blob, sender_cpu))
    process.start()
    os.sched_setaffinity(0, {main_cpu})
    try:
        total = 0
        start = time.perf_counter()
        go.send(None)
        if blob:
            for _ in range(count):
                total += len(take())
        else:
            for _ in range(count):
                total += take()
        took = time.perf_counter() - start
    finally:
        os.sched_setaffinity(0, before)
    process.join()
    if total != (count * blob or count * (count - 1) // 2):
        raise ArithmeticError(f"the sum is {total}")
    return [count * blob / took / 1e9 if blob else count / took / 1e6]


def _keep(value):
    global _shared
    _shared = value


def _add(count):
    value, lock = _shared, _shared.get_lock()
    for _ in range(count):
        with lock:
            value.value += 1


_counters = {}


def process_count(count, processes):
    """`processes` add one to a Value under its lock, `count` times each: millions per second."""
    if processes not in _counters:
        value = multiprocessing.Value("i", 0)
        _counters[processes] = value, multiprocessing.Pool(processes, _keep, (value,))
    value, workers = _counters[processes]
    value.value = 0
    start = time.perf_counter()
    workers.map(_add, [count] * processes, 1)
    took = time.perf_counter() - start
    if value.value != count * processes:
        raise ArithmeticError("an addition was lost")
    return [count * processes / took / 1e6]


CASES = (process_close, process_start, process_round_trip, process_each, process_map, process_hits, process_pids,
         process_death, process_by_value, process_by_handle, process_messages, process_count)
