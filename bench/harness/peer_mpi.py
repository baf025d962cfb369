"""mpi4py as a peer of the `mpi` benchmark: `mpirun -n 2 python3 peer_mpi.py LEVEL`, the thread level; and its pool:
`mpirun -n 2 python3 -m mpi4py.futures peer_mpi.py futures`.

Rank 0 answers a request per line with a number. While nobody is measured both ranks sleep: rank 0 until there is a
request, rank 1 until rank 0 sends it a signal.
"""

import os
import signal
import sys
import time

# --- the pool -------------------------------------------------------------------------------------------------------


def nothing():
    pass


def same(i):
    return i


def tasks(made, what, count):
    """Seconds for `count` empty calls."""
    start = time.perf_counter()
    if what == "each":
        for f in [made.submit(nothing) for _ in range(count)]:
            f.result()
    elif what == "trip":
        for _ in range(count):
            made.submit(nothing).result()
    else:
        chunk = 1000 if what == "chunks" else 1
        if list(made.map(same, range(count), chunksize=chunk)) != list(range(count)):
            raise ArithmeticError("map lost something")
    return time.perf_counter() - start


def serve_pool():
    from mpi4py.futures import MPIPoolExecutor

    # Both sides sleep for up to 1 ms while there is nothing to do, or not at all.
    options = {"default": {}, "spinning": {"backoff": 0}}
    kind, made = None, None
    for line in sys.stdin:
        _, wanted, what, count = line.split()
        if wanted != kind:
            if made is not None:
                made.shutdown()
            kind, made = wanted, MPIPoolExecutor(**options[wanted])
        tasks(made, what, int(count) // 8 + 1)
        took = tasks(made, what, int(count))
        print(took * 1e6 / int(count) if what == "trip" else int(count) / took, flush=True)
    if made is not None:
        made.shutdown()


# --- messages -------------------------------------------------------------------------------------------------------


class Rank:
    """One of the two. The cases are those of bench/mpi/systems.hpp, with the same loops."""

    def __init__(self, MPI):
        import numpy

        self.MPI, self.numpy = MPI, numpy
        self.world = MPI.COMM_WORLD
        self.rank = self.world.Get_rank()
        self.other = 1 - self.rank
        self.out = numpy.zeros(64 << 20, "b")
        self.incoming = numpy.zeros(16 << 20, "b")

    def ns_per_round(self, count, rounds):
        rounds(count // 8 + 1)
        self.world.Barrier()
        start = time.perf_counter_ns()
        rounds(count)
        return (time.perf_counter_ns() - start) / count

    def ping_pong(self, size, count):
        send, receive, other = self.world.Send, self.world.Recv, self.other
        data = [self.out[:size], self.MPI.BYTE]
        status = self.MPI.Status()

        def first(rounds):
            for _ in range(rounds):
                send(data, other, 0)
                receive(data, other, 0, status)

        def second(rounds):
            for _ in range(rounds):
                receive(data, other, 0, status)
                send(data, other, 0)

        return self.ns_per_round(count, second if self.rank else first) / 2

    def rate(self, count):
        window = 64
        world, other, wait = self.world, self.other, self.MPI.Request.Waitall
        parts = [[self.out[8 * k : 8 * k + 8], self.MPI.BYTE] for k in range(window)]
        one = [self.out[:1], self.MPI.BYTE]

        def first(rounds):
            begin = world.Isend
            for _ in range(rounds):
                wait([begin(part, other, 0) for part in parts])
                world.Recv(one, other, 1)

        def second(rounds):
            begin = world.Irecv
            for _ in range(rounds):
                wait([begin(part, other, 0) for part in parts])
                world.Send(one, other, 1)

        return self.ns_per_round(count, second if self.rank else first) / window

    def all(self, what, size, count):
        world, byte = self.world, self.MPI.BYTE
        if what == "bcast":
            data = [self.out[:size], byte]

            def rounds(n):
                for i in range(n):
                    world.Bcast(data, i % 2)

        elif what == "allreduce":
            terms, sums = self.out[:size].view("d"), self.incoming[:size].view("d")

            def rounds(n):
                for _ in range(n):
                    world.Allreduce(terms, sums)

        else:
            out, incoming = [self.out[: 2 * size], byte], [self.incoming[: 2 * size], byte]

            def rounds(n):
                for _ in range(n):
                    world.Alltoall(out, incoming)

        return self.ns_per_round(count, rounds) * 1e-3

    def structs(self, room, count):
        world, other, byte, numpy = self.world, self.other, self.MPI.BYTE, self.numpy
        particle = numpy.dtype([("position", "d", 3), ("mass", "f"), ("id", "i")])
        out, incoming = numpy.zeros(100_000, particle), numpy.zeros(100_000, particle)
        status = self.MPI.Status()

        def receive():
            if room == 0:  # it is there
                world.Recv([incoming, byte], other, 0)
                return incoming
            message = self.MPI.Message.Probe(world, other, 0, status)
            fresh = numpy.empty(status.Get_count(byte) // particle.itemsize, particle)
            message.Recv([fresh, byte])
            return fresh

        def rounds(n):
            for _ in range(n):
                if self.rank == 0:
                    world.Send([out, byte], other, 0)
                came = receive()
                if self.rank == 1:
                    world.Send([came, byte], other, 0)

        return self.ns_per_round(count, rounds) * 1e-3

    def objects(self, what, kind, count):
        world, other, rank = self.world, self.other, self.rank
        if kind == "texts":
            value = [f"this is text number {i}" for i in range(1000)]

            def merge(a, b):
                return [max(x, y) for x, y in zip(a, b)]

        else:
            value = {f"key {i}": list(range(i, i + 10)) for i in range(1000)}

            def merge(a, b):
                out = dict(a)
                for key, added in b.items():
                    out[key] = [x + y for x, y in zip(out[key], added)] if key in out else added
                return out

        last = None

        def once(root):
            if what == "trip":
                if rank == 0:
                    world.send(value, other)
                came = world.recv(source=other)
                if rank == 1:
                    world.send(came, other)
                return came
            if what == "bcast":
                return world.bcast(value if rank == root else None, root)
            if what == "gather":
                return world.gather(value, root)
            return world.allreduce(value, merge)

        def rounds(n):
            nonlocal last
            for i in range(n):
                last = once(i % 2) or last

        took = self.ns_per_round(count, rounds) * 1e-3
        expected = {"gather": [value, value], "allreduce": merge(value, value)}.get(what, value)
        if last != expected:
            raise ArithmeticError("an object arrived changed")
        return took

    def answer(self, line):
        case, *rest = line.split()
        return getattr(self, case)(*(int(w) if w.isdigit() else w for w in rest))


def serve(level):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # for all threads that MPI starts, too
    import mpi4py

    mpi4py.rc.thread_level = level
    from mpi4py import MPI

    rank = Rank(MPI)
    partner = rank.world.sendrecv(os.getpid(), rank.other, source=rank.other)

    def pass_on(line):
        os.kill(partner, signal.SIGUSR1)
        rank.world.send(line, 1)

    try:
        if rank.rank == 0:
            for line in sys.stdin:
                pass_on(line)
                print(rank.answer(line), flush=True)
            pass_on("")
        else:
            while True:
                signal.sigwait({signal.SIGUSR1})
                line = rank.world.recv(source=0)
                if not line:
                    return
                rank.answer(line)
    except Exception as e:  # the other rank would wait for ever
        print("error", type(e).__name__, str(e).replace("\n", " "), flush=True)
        rank.world.Abort(1)


if __name__ == "__main__":
    if sys.argv[1] == "futures":
        serve_pool()
    else:
        serve(sys.argv[1])
