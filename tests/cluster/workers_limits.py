"""Limits of workers: tasks and memory per child, soft and hard time limits; and what is no exception harms nobody."""

import celery.exceptions

import peers
from peers import LIMIT, STAND_IN, lines_of, wait_for

redis = app = None


def setUpModule():
    global redis, app
    redis = peers.Redis()
    app = peers.celery_app(redis.url())


def send(name, *args, queue, **options):
    return app.send_task(name, args=args, queue=queue, **options)


class Limits(peers.Case):
    def test_tasks_per_child(self):
        worker = peers.TuttiWorker(redis.url(), "few", 1, "processes", "--max-tasks-per-child", "2", name="few")
        pids = [send("tasks.pid", queue="few").get(timeout=LIMIT) for _ in range(6)]
        self.assertEqual((pids[0], pids[2], pids[4]), (pids[1], pids[3], pids[5]))
        self.assertEqual(len(set(pids)), 3)
        self.assertNotIn(worker.pid, pids)
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_memory_per_child(self):
        measured = peers.TuttiWorker(redis.url(), "measured", 1, "processes", name="measured")
        usual = peers.rss_of(send("tasks.hog", 10, queue="measured").get(timeout=LIMIT))  # KiB; more with sanitizers
        self.assertEqual(measured.stop(), 0, measured.output())
        self.assertGreater(usual, 10 << 10)
        worker = peers.TuttiWorker(redis.url(), "small", 1, "processes", "--max-memory-per-child", str(usual + (100 << 10)),
                                   name="small")
        first = send("tasks.pid", queue="small").get(timeout=LIMIT)
        self.assertEqual(send("tasks.hog", 10, queue="small").get(timeout=LIMIT), first)
        self.assertEqual(send("tasks.hog", 200, queue="small").get(timeout=LIMIT), first)
        self.assertNotEqual(send("tasks.pid", queue="small").get(timeout=LIMIT), first)
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_hard_time_limit(self):
        for pool in ("processes",) if STAND_IN else ("processes", "threads"):
            with self.subTest(pool):
                queue = "hard-" + pool
                worker = peers.TuttiWorker(redis.url(), queue, 2, pool, name=queue)
                started, released = self.path(pool + "started"), self.path(pool + "released")
                late = send("tasks.deaf", started, released, queue=queue, time_limit=peers.FACTOR)
                with self.assertRaises(celery.exceptions.TimeLimitExceeded):
                    late.get(timeout=LIMIT)
                self.assertEqual(send("tasks.add", 1, 2, queue=queue, time_limit=LIMIT).get(timeout=LIMIT), 3)
                self.assertEqual(lines_of(started), ["started"])
                open(released, "w").close()
                self.assertEqual(worker.stop(), 0, worker.output())

    def test_soft_time_limit(self):
        for pool in ("processes", "threads"):
            with self.subTest(pool):
                queue = "soft-" + pool
                worker = peers.TuttiWorker(redis.url(), queue, 1, pool, name=queue)
                asked = send("tasks.hold", self.path(pool + "started"), self.path("never"), queue=queue, soft_time_limit=0.3,
                             time_limit=LIMIT)
                self.assertEqual(asked.get(timeout=LIMIT), "stopped")
                self.assertEqual(send("tasks.add", 1, 2, queue=queue).get(timeout=LIMIT), 3)
                self.assertEqual(worker.stop(), 0, worker.output())

    def test_something_that_is_no_exception(self):
        for pool in ("processes", "threads", "inline"):
            with self.subTest(pool):
                queue = "thrown-" + pool
                worker = peers.TuttiWorker(redis.url(), queue, 1, pool, name=queue)
                pid = send("tasks.pid", queue=queue).get(timeout=LIMIT)
                result = send("tasks.throw_int", queue=queue)
                with self.assertRaisesRegex(Exception, "int|42"):
                    result.get(timeout=LIMIT)
                self.assertEqual(result.state, "FAILURE")
                self.assertEqual(send("tasks.pid", queue=queue).get(timeout=LIMIT), pid)
                self.assertEqual(worker.stop(), 0, worker.output())

    def test_log_of_a_task(self):
        worker = peers.TuttiWorker(redis.url(), "says", 1, name="says")
        result = send("tasks.say", "a line for the log", queue="says")
        result.get(timeout=LIMIT)
        wait_for(lambda: any("a line for the log" in line and "tasks.say" in line and result.id in line
                             for line in worker.output().splitlines()), lambda: worker.output())
        self.assertEqual(worker.stop(), 0)


if STAND_IN:
    del Limits.test_log_of_a_task, Limits.test_soft_time_limit

if __name__ == "__main__":
    peers.main()
