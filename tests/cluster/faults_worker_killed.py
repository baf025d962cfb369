"""Workers are killed with -9 at many moments, on Redis and on SQLite: every task that was accepted is done soon after."""

import os
import signal

import peers
from peers import LIMIT, STAND_IN, lines_of, wait_for

COUNT = 20  # tasks of 0.1 s, two at a time
MOMENTS = (0, 3, 7, 12, 19)  # so many were done when all was killed


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Killed(peers.Case):
    def run_fleet(self, how):
        """Many small fleets at once: a worker each, killed at its moment, and another one that takes over."""
        redis = peers.Redis()
        app = peers.celery_app(redis.url())
        fleets = []
        for pool in ("threads", "processes"):
            for moment in MOMENTS:
                name = f"{pool}-{moment}"
                worker = peers.TuttiWorker(redis.url(), name, 2, pool, name=name)
                results = [app.send_task("tasks.work", args=(self.path(name), str(i), 0.1), queue=name) for i in range(COUNT)]
                fleets.append((name, pool, moment, worker, results))
        living = list(fleets)
        family, successors = [], []

        def kill_those_that_are_due():
            for fleet in list(living):
                name, pool, moment, worker, _ = fleet
                if len(lines_of(self.path(name))) >= moment and peers.queue_length(redis, name) < COUNT:
                    family.extend(peers.descendants_of(worker.pid))
                    how(worker)
                    living.remove(fleet)
                    successors.append(peers.TuttiWorker(redis.url(), name, 2, pool, name=name + "-again"))
            return not living
        wait_for(kill_those_that_are_due, lambda: f"the moments of {[fleet[0] for fleet in living]}")
        for name, _, _, _, results in fleets:
            peers.values_of(redis, results)
            ran = lines_of(self.path(name))
            self.assertEqual(sorted(set(ran), key=int), [str(i) for i in range(COUNT)], name)
            self.assertLessEqual(len(ran), 2 * COUNT, name)  # what was held when all was killed may run again
            wait_for(lambda: peers.queue_length(redis, name) == 0, "an empty queue")
            # All may have been done before the kill: the successor works, and hears signals, only now for sure.
            self.assertEqual(app.send_task("tasks.add", args=(1, 2), queue=name).get(timeout=LIMIT), 3)
        wait_for(lambda: all(gone(pid) for pid in family), "the children of killed workers to end")
        peers.stop_all(*successors)

    def test_the_whole_family(self):
        self.run_fleet(lambda worker: worker.kill_all())

    def test_the_worker_alone(self):
        self.run_fleet(lambda worker: worker.kill())

    def test_under_load(self):
        redis = peers.Redis()
        app = peers.celery_app(redis.url())
        log = self.path("log")
        with app.producer_pool.acquire(block=True) as producer:
            results = [app.send_task("tasks.log_id", args=(log,), queue="cpp", producer=producer) for _ in range(3000)]
        worker = None
        for round_ in range(10):
            before = len(lines_of(log))
            worker = peers.TuttiWorker(redis.url(), "cpp", 2, ("threads", "processes")[round_ % 2], name=f"round-{round_}")
            wait_for(lambda: len(lines_of(log)) >= min(before + 50 + 37 * round_, len(results)), lambda: worker.output()[-2000:])
            worker.kill_all()
        worker = peers.TuttiWorker(redis.url(), "cpp", 2, name="last")
        peers.values_of(redis, results)
        self.assertLessEqual({result.id for result in results}, set(lines_of(log)))
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_a_child_alone(self):
        redis = peers.Redis()
        app = peers.celery_app(redis.url())
        worker = peers.TuttiWorker(redis.url(), "cpp", 2, "processes")
        results = [app.send_task("tasks.work", args=(self.path("file"), str(i), 0.1), queue="cpp") for i in range(COUNT)]
        for done in (2, 11):  # a task whose process dies a third time is given up
            wait_for(lambda: len(lines_of(self.path("file"))) >= done, f"{done} tasks")
            pids = app.send_task("tasks.pid", queue="cpp", priority=0).get(timeout=LIMIT)
            os.kill(pids, signal.SIGKILL)
        peers.values_of(redis, results)
        self.assertEqual(set(lines_of(self.path("file"))), {str(i) for i in range(COUNT)})
        self.assertEqual(app.send_task("tasks.killer_once", args=(self.path("once"),), queue="cpp").get(timeout=LIMIT), "survived")
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_one_that_was_only_stopped(self):
        """What a worker holds and has not begun, when it goes on after others have taken it for dead, runs there alone."""
        with open(self.path("settings"), "w") as settings:
            settings.write('{"lease": 1000}')
        redis = peers.Redis()
        app = peers.celery_app(redis.url())
        started, released, marks = self.path("started"), self.path("released"), self.path("marks")
        one = peers.TuttiWorker(redis.url(), "cpp", 1, "threads", "--prefetch", "10", "--config", self.path("settings"), name="one")
        results = [app.send_task("tasks.hold", args=(started, released), queue="cpp")]
        wait_for(lambda: lines_of(started), "the task")
        results += [app.send_task("tasks.mark", args=(marks, str(i)), queue="cpp") for i in range(5)]
        wait_for(lambda: peers.queue_length(redis, "cpp") == 0, "all to be held")
        one.signal(signal.SIGSTOP)
        other = peers.TuttiWorker(redis.url(), "cpp", 2, "threads", "--config", self.path("settings"), name="other")
        wait_for(lambda: len(lines_of(marks)) == 5, lambda: other.output())
        one.signal(signal.SIGCONT)
        open(released, "w").close()
        peers.values_of(redis, results)
        wait_for(lambda: peers.inspect(app, one, "reserved") == [] and peers.inspect(app, one, "active") == [], "it to be idle")
        peers.stop_all(one, other)
        self.assertEqual(sorted(lines_of(marks)), list("01234"))
        self.assertEqual(lines_of(started), ["started"] * 2)

    def test_on_a_file(self):
        broker = "sqlite:" + self.path("tasks.db")
        for pool in ("threads", "processes"):
            workers = [peers.TuttiWorker(broker, pool, 2, pool, name=f"{pool}-{i}") for i in range(2)]
            client = peers.Child("client", [peers.PROGRAM, "work", broker, pool, "40", self.path(pool), "0.05"], ours=True)
            wait_for(lambda: len(lines_of(self.path(pool))) >= 8, lambda: client.output() + workers[0].output())
            workers[0].kill_all()
            self.assertEqual(client.wait(), 0, client.output())
            self.assertEqual(set(lines_of(self.path(pool))), {str(i) for i in range(40)})
            self.assertEqual(workers[1].stop(), 0, workers[1].output())


if STAND_IN:
    del Killed.test_on_a_file, Killed.test_one_that_was_only_stopped

if __name__ == "__main__":
    peers.main()
