"""What is between a worker and Redis stalls, drops, cuts in the middle, refuses: the worker goes on, and nothing is lost."""

import random
import selectors
import socket
import threading

import peers
from peers import lines_of, wait_for


class Proxy:
    """Passes bytes on to a port, until it is told to do worse. mode: pass, stall, refuse; and cut() for all that is open."""

    def __init__(self, port):
        self.target = port
        self.mode = "pass"
        self.lock = threading.Lock()
        self.pairs = {}  # socket -> the other end
        self.cut_after = None  # bytes until all is cut: in the middle of something
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        threading.Thread(target=self.run, daemon=True).start()

    def close(self, one):
        other = self.pairs.pop(one, None)
        if other is not None:
            self.pairs.pop(other, None)
            for end in (one, other):
                self.selector.unregister(end)
                end.close()

    def cut(self):
        with self.lock:
            for one in list(self.pairs):
                self.close(one)

    def run(self):
        while True:
            ready = self.selector.select(0.02)
            with self.lock:
                if self.mode == "stall":
                    threading.Event().wait(0.01)
                    continue
                for key, _ in ready:
                    self.step(key.fileobj)

    def step(self, one):
        if one is self.listener:
            near, _ = one.accept()
            if self.mode == "refuse":
                near.close()
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                return
            for end, other in ((near, far), (far, near)):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.pairs[end] = other
                self.selector.register(end, selectors.EVENT_READ)
        elif one in self.pairs:
            try:
                data = one.recv(65536)
                if self.cut_after is not None and data:
                    data = data[:self.cut_after]
                    self.cut_after -= len(data)
                if data:
                    self.pairs[one].sendall(data)
                if not data or self.cut_after == 0:
                    if self.cut_after == 0:
                        self.cut_after = None
                    self.close(one)
            except OSError:
                self.close(one)


class Connection(peers.Case):
    def test_everything_that_lines_do(self):
        redis = peers.Redis()
        proxy = Proxy(redis.port)
        app = peers.celery_app(redis.url())
        log = self.path("log")
        worker = peers.TuttiWorker(redis.url(port=proxy.port), "cpp", 2, "threads")
        results = []
        seed = random.SystemRandom().randrange(2**32)
        print("seed", seed)
        choices = random.Random(seed)

        def some_work(count=30):
            with app.producer_pool.acquire(block=True) as producer:
                for _ in range(count):
                    results.append(app.send_task("tasks.log_id", args=(log,), queue="cpp", producer=producer))

        def progress(what):
            some_work()
            newest = results[-1]
            wait_for(newest.ready, lambda: f"{what}: work to go on; the worker said:\n{worker.output()[-3000:]}")
        progress("at first")
        for _ in range(3):
            some_work()
            proxy.cut()
            progress("cut")
        for _ in range(10):  # a word in the middle of a command or of an answer
            some_work(10)
            with proxy.lock:
                proxy.cut_after = choices.randrange(1, 4000)
            some_work(10)
            progress("truncated")
        for seconds in (0.2, 1.0, 7.0):  # longer than the lease, too
            some_work()
            proxy.mode = "stall"
            threading.Event().wait(seconds)  # the stall itself
            proxy.mode = "pass"
            progress("stalled")
        proxy.mode = "refuse"
        proxy.cut()
        some_work()
        threading.Event().wait(1)
        proxy.mode = "pass"
        progress("refused")
        peers.values_of(redis, results)
        self.assertLessEqual({result.id for result in results}, set(lines_of(log)))
        wait_for(lambda: peers.queue_length(redis, "cpp") == 0, "an empty queue")
        self.assertIsNone(worker.process.poll())
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_a_port_that_never_answers(self):
        with socket.create_server(("127.0.0.1", 0), backlog=16) as deaf:
            port = deaf.getsockname()[1]
            url = f"redis://:{peers.PASSWORD_IN_URL}@127.0.0.1:{port}/0"
            if not peers.STAND_IN:
                worker = peers.TuttiWorker(url, "cpp", 1)
                deaf.settimeout(peers.LIMIT)
                with deaf.accept()[0]:  # the worker waits for its answer
                    status, text = peers.tutti_command("inspect", "ping", "--broker", url)
                    self.assertNotEqual(status, 0)
                    self.assertIn(str(port), text)
                    self.assertIsNone(worker.process.poll(), worker.output())
                    self.assertEqual(worker.stop(), 0, worker.output())

    def test_a_wrong_password(self):
        redis = peers.Redis()
        url = f"redis://:s3cret-but-wrong@127.0.0.1:{redis.port}/0"
        if not peers.STAND_IN:
            worker = peers.TuttiWorker(url, "cpp", 1)
            wait_for(lambda: "WRONGPASS" in worker.output() or "password" in worker.output().lower(), lambda: worker.output())
            self.assertEqual(worker.stop(), 0, worker.output())
            status, text = peers.tutti_command("status", "--broker", url)
            self.assertNotEqual(status, 0)
            self.assertIn(str(redis.port), text)


if __name__ == "__main__":
    peers.main()
