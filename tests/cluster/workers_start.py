"""The ways to start a worker: a program's own flag, the command line with a library, on Redis, in a file."""

import os

import peers
from peers import LIMIT, lines_of, wait_for


class Start(peers.Case):
    def test_a_library_of_tasks(self):
        redis = peers.Redis()
        app = peers.celery_app(redis.url())
        for pool in ("threads", "processes", "inline"):
            with self.subTest(pool):
                worker = peers.TuttiWorker(None, pool, 2, pool, name=pool,
                                           command=[peers.COMMAND, "worker", "--broker", redis.url(), "--load", peers.LIBRARY])
                result = app.send_task("tasks.add", args=(2, 3), queue=pool)
                wait_for(lambda: result.ready() or worker.process.poll() is not None, lambda: worker.output())
                self.assertEqual(result.get(timeout=1), 5, worker.output())
                with self.assertRaisesRegex(ValueError, "text"):
                    app.send_task("tasks.fail", args=("text",), queue=pool).get(timeout=LIMIT)
                self.assertEqual(app.send_task("tasks.flaky", args=(1,), queue=pool).get(timeout=LIMIT), 1)
                self.assertEqual(worker.stop(), 0, worker.output())

    def test_broker_from_the_environment(self):
        redis = peers.Redis()
        app = peers.celery_app(redis.url())
        worker = peers.TuttiWorker(None, "cpp", 1, command=[peers.COMMAND, "worker", "--load", peers.LIBRARY],
                                   env={"CELERY_BROKER_URL": redis.url()})
        self.assertEqual(app.send_task("tasks.add", args=(2, 3), queue="cpp").get(timeout=LIMIT), 5)
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_call_from_the_command_line(self):
        redis = peers.Redis()
        worker = peers.TuttiWorker(redis.url(), "cpp", 1)
        status, text = peers.tutti_command("call", "tasks.add", "2", "40", "--broker", redis.url(), "--queue", "cpp")
        self.assertEqual(status, 0, text)
        self.assertIn("42", text)
        self.assertEqual(worker.stop(), 0)

    def test_what_is_wrong_is_said(self):
        redis = peers.Redis()
        for what, command, part in (
                ("no such library", [peers.COMMAND, "worker", "--broker", redis.url(), "--load", "/no/such.so"], "/no/such.so"),
                ("no such pool", [peers.COMMAND, "worker", "--broker", redis.url(), "-P", "fibers"], "fibers"),
                ("no such scheme", [peers.COMMAND, "worker", "--broker", "carrier-pigeon://:s3cret@box"], "carrier-pigeon"),
                ("no such port", [peers.COMMAND, "worker", "--broker", "redis://:s3cret@box:port/0"], "port"),
                ("no such flag", [peers.PROGRAM, "--tutti-worker", redis.url(), "--no-such-flag"], "no-such-flag"),
                ("memory and processes", [peers.PROGRAM, "--tutti-worker", "memory://", "-P", "processes"], "memory")):
            with self.subTest(what):
                worker = peers.Child("wrong", command, ours=True)
                self.assertNotEqual(worker.wait(), 0)
                self.assertIn(part, worker.output())

    def test_two_workers_on_one_file(self):
        broker = "sqlite:" + self.path("tasks.db")
        workers = [peers.TuttiWorker(broker, "cpp", 2, pool, name=pool) for pool in ("threads", "processes")]
        client = peers.Child("client", [peers.PROGRAM, "load", broker, "cpp", "3000"], ours=True)
        self.assertEqual(client.wait(), 0, client.output())
        once = peers.Child("client", [peers.PROGRAM, "work", broker, "cpp", "200", self.path("ran"), "0.001"], ours=True)
        self.assertEqual(once.wait(), 0, once.output())
        self.assertEqual(sorted(lines_of(self.path("ran")), key=int), [str(i) for i in range(200)])
        for command, expected in (("ping", "pong"), ("registered", "tasks.add"), ("stats", str(workers[0].pid))):
            said = []

            def answered():
                said.append(peers.tutti_command("inspect", command, "--broker", broker, "-t", str(peers.FACTOR)))
                return said[-1][0] == 0 and all(one in said[-1][1] for one in (expected, *(worker.hostname for worker in workers)))
            wait_for(answered, lambda: f"{expected} of both in:\n{said[-1]}")
        for worker in workers:
            self.assertEqual(worker.stop(), 0, worker.output())
        self.assertTrue(os.path.getsize(self.path("tasks.db")))


if __name__ == "__main__":
    peers.main()
