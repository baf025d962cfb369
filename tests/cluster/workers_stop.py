"""How workers end: warm, cold, and what revocations and held messages become of it."""

import signal
import time

import celery.exceptions

import peers
from peers import LIMIT, STAND_IN, lines_of, wait_for

redis = app = None


def setUpModule():
    global redis, app
    redis = peers.Redis()
    app = peers.celery_app(redis.url())


def send(name, *args, queue):
    return app.send_task(name, args=args, queue=queue)


class Warm(peers.Case):
    def test_what_runs_ends_and_what_is_held_goes_back(self):
        for pool in ("threads", "processes"):
            with self.subTest(pool):
                queue, started, released = "warm-" + pool, self.path(pool + "started"), self.path(pool + "released")
                worker = peers.TuttiWorker(redis.url(), queue, 1, pool, name=queue)
                running = send("tasks.hold", started, released, queue=queue)
                wait_for(lambda: lines_of(started), "the task")
                waiting = [send("tasks.mark", self.path(pool), str(i), queue=queue) for i in range(5)]
                worker.signal(signal.SIGTERM)
                wait_for(lambda: peers.queue_length(redis, queue) == 5, "what it held to be back")
                self.assertIsNone(worker.process.poll())
                open(released, "w").close()
                self.assertEqual(worker.wait(), 0, worker.output())
                self.assertEqual(running.get(timeout=LIMIT), "released")
                self.assertEqual((lines_of(started), lines_of(self.path(pool))), (["started"], []))
                again = peers.TuttiWorker(redis.url(), queue, 1, pool, name=queue)
                for one in waiting:
                    one.get(timeout=LIMIT)
                self.assertEqual(lines_of(self.path(pool)), list("01234"))  # in their order still
                self.assertEqual(again.stop(), 0)

    def test_idle(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            for pool in ("threads", "processes", "inline"):
                worker = peers.TuttiWorker(redis.url(), "idle", 2, pool, name="idle")
                self.assertIsNone(send("tasks.nothing", queue="idle").get(timeout=LIMIT))
                worker.signal(number)
                self.assertEqual(worker.wait(), 0, worker.output())


class Cold(peers.Case):
    def ends_cold(self, pool, task, act):
        name = f"{task}-{pool}"
        queue, started, released = "cold-" + name, self.path(name + "started"), self.path(name + "released")
        worker = peers.TuttiWorker(redis.url(), queue, 1, pool, name=queue)
        running = send("tasks." + task, started, released, queue=queue)
        wait_for(lambda: lines_of(started), "the task")
        after = send("tasks.add", 1, 2, queue=queue)
        act(worker)
        self.assertNotEqual(worker.wait(), 0, worker.output())
        self.assertEqual(running.state, "PENDING")  # it has not ended, and is not lost
        again = peers.TuttiWorker(redis.url(), queue, 1, pool, name=queue + "-again")
        wait_for(lambda: len(lines_of(started)) == 2, "the task to run again")
        open(released, "w").close()
        self.assertEqual((running.get(timeout=LIMIT), after.get(timeout=LIMIT)), ("released", 3))
        self.assertEqual(again.stop(), 0)

    def test_quit(self):
        # A thread that does not ask whether it should stop cannot be ended: its process ends, after some seconds.
        for pool, task in (("threads", "yielding"), ("threads", "deaf"), ("processes", "yielding"), ("processes", "deaf")):
            with self.subTest(pool=pool, task=task):
                self.ends_cold(pool, task, lambda worker: worker.signal(signal.SIGQUIT))

    def test_twice_int(self):
        def until_it_ends(worker):
            end = time.monotonic() + LIMIT
            while worker.process.poll() is None and time.monotonic() < end:
                worker.signal(signal.SIGINT)
                try:
                    worker.process.wait(0.2)
                except Exception:
                    pass
        for pool in ("threads", "processes"):
            with self.subTest(pool):
                self.ends_cold(pool, "yielding", until_it_ends)


class Revoked(peers.Case):
    def test_what_was_revoked_stays_so_when_workers_restart(self):
        for how in ("killed", "stopped"):
            with self.subTest(how):
                queue, mark = "revoked-" + how, self.path(how)
                worker = peers.TuttiWorker(redis.url(), queue, 1, name=queue)
                peers.ready(app, worker)
                late = app.send_task("tasks.mark", args=(mark, "ran"), queue=queue, countdown=3 * peers.FACTOR)
                late.revoke()
                wait_for(lambda: late.id in (peers.inspect(app, worker, "revoked") or []), "the worker to know")
                # It knows before it has stored that for others: only then is it fair to kill it.
                wait_for(lambda: late.id.encode() in (redis.client.get("celery-task-meta-tutti-revoked") or b""), "others to know")
                if how == "killed":
                    worker.kill_all()
                else:
                    self.assertEqual(worker.stop(), 0)
                again = peers.TuttiWorker(redis.url(), queue, 1, name=queue)
                peers.ready(app, again)
                with self.assertRaises(celery.exceptions.TaskRevokedError):
                    late.get(timeout=LIMIT)
                self.assertEqual(lines_of(mark), [])
                self.assertEqual(again.stop(), 0)


if STAND_IN:  # Celery forgets
    del Revoked, Cold

if __name__ == "__main__":
    peers.main()
