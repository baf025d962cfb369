"""A Celery client for the `cluster` benchmark: celery_client.py BROKER. A request per line, `QUEUE CASE ARGUMENT...`, is
answered by a line of numbers, or by one that begins with "error". It sleeps between requests."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from celery import group  # noqa: E402
from celery_tasks import make_app  # noqa: E402

PATIENCE = 240  # seconds


def quantile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))]


class Client:
    """One queue's side of it. The producer is held, so that no call has to look for one."""

    def __init__(self, app, producer, queue):
        self.tasks, self.producer, self.queue = app.bench, producer, queue

    def send(self, name, *args):
        return self.tasks[name].apply_async(args, producer=self.producer, queue=self.queue)

    @staticmethod
    def take(results):
        for one in results:
            one.get(timeout=PATIENCE)
            one.forget()

    def one(self):
        """A sum, for the first sign of life: seconds."""
        start = time.perf_counter()
        if self.send("add", 2, 3).get(timeout=PATIENCE) != 5:
            raise ArithmeticError("2 + 3 is not 5")
        return [time.perf_counter() - start]

    def each(self, count):
        """`count` tasks, sent one by one, and their results: tasks/s in all, and those sent per second."""
        start = time.perf_counter()
        results = [self.send("add", i, 1) for i in range(count)]
        sent = time.perf_counter()
        for i, one in enumerate(results):
            if one.get(timeout=PATIENCE) != i + 1:
                raise ArithmeticError("a wrong sum")
        ended = time.perf_counter()
        for one in results:
            one.forget()
        return [count / (ended - start), count / (sent - start)]

    def bulk(self, count):
        """The same as one group: tasks/s in all, those sent per second, and the whole in ms. `join` takes a quarter of the
        time of `get`."""
        add = self.tasks["add"]
        start = time.perf_counter()
        result = group(add.s(i, 1) for i in range(count)).apply_async(producer=self.producer, queue=self.queue)
        sent = time.perf_counter()
        if result.join(timeout=PATIENCE) != list(range(1, count + 1)):
            raise ArithmeticError("wrong sums")
        ended = time.perf_counter()
        result.forget()
        return [count / (ended - start), count / (sent - start), (ended - start) * 1e3]

    def trip(self, count):
        """Round trips, one at a time: p50 and p99 in us."""
        took = []
        for _ in range(count):
            start = time.perf_counter()
            one = self.send("nothing")
            one.get(timeout=PATIENCE)
            took.append((time.perf_counter() - start) * 1e6)
            one.forget()
        return [quantile(took, 0.5), quantile(took, 0.99)]

    def echo(self, size, count):
        """Texts there and back: us for each when one at a time, and tasks/s when sent together."""
        text = "x" * size
        start = time.perf_counter()
        for _ in range(count):
            one = self.send("echo", text)
            if len(one.get(timeout=PATIENCE)) != size:
                raise ArithmeticError("a wrong text")
            one.forget()
        middle = time.perf_counter()
        results = [self.send("echo", text) for _ in range(count)]
        for one in results:
            one.get(timeout=PATIENCE)
        ended = time.perf_counter()
        for one in results:
            one.forget()
        return [(middle - start) * 1e6 / count, count / (ended - middle)]

    def backlog(self, count):
        """Fills a queue that nobody reads yet: a task that tells the time, `count` that do nothing, and another one.
        `drained` gets what the two told."""
        self.marks = [self.send("now")]
        for _ in range(count):
            self.send("quiet")
        self.marks.append(self.send("now"))
        return [0]

    def drained(self, count):
        begun, ended = (mark.get(timeout=PATIENCE) for mark in self.marks)
        self.take(self.marks)
        return [(ended - begun) * 1e6 / count]


def main():
    app = make_app(sys.argv[1], "celery")
    producer = app.amqp.producer_pool.acquire(block=True)
    clients = {}
    for line in sys.stdin:
        queue, case, *numbers = line.split()
        try:
            if queue not in clients:
                clients[queue] = Client(app, producer, queue)
            answer = getattr(clients[queue], case)(*map(int, numbers))
            print(*answer, flush=True)
        except Exception as failed:  # told to who asked
            print("error", type(failed).__name__, str(failed).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
