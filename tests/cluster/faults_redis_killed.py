"""Redis is killed with -9 under load and started again, over and over: workers and clients go on, and nothing is lost."""

import json
import threading

import peers
from peers import lines_of, wait_for

ROUNDS = 10


class RedisKilled(peers.Case):
    def run_rounds(self, pool):
        redis = peers.Redis(durable=True)
        log, stop = self.path("log"), self.path("stop")
        worker = peers.TuttiWorker(redis.url(), "cpp", 2, pool)
        publishers = [peers.Child("publisher", [peers.PROGRAM, "publish", redis.url(), "cpp", log, stop], ours=True)]
        app = peers.celery_app(redis.url())
        accepted = []  # by Celery's client

        def publish():
            while not stopped.is_set():
                try:
                    accepted.append(app.send_task("tasks.log_id", args=(log,), queue="cpp", retry=False).id)
                except Exception:  # Redis is away: not accepted
                    stopped.wait(0.01)
        stopped = threading.Event()
        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        for round_ in range(ROUNDS):
            before = len(lines_of(log))
            wait_for(lambda: len(lines_of(log)) >= before + 20 + 13 * round_,
                     lambda: f"work in round {round_}; the worker said:\n{worker.output()[-3000:]}")
            redis.kill()
            redis.start()
        before = len(lines_of(log))
        wait_for(lambda: len(lines_of(log)) >= before + 50, "work after the last round")
        # Celery's client comes back seconds later than ours.
        wait_for(lambda: len(accepted) > 20, lambda: f"Celery's client to go on; it has sent {len(accepted)}")
        open(stop, "w").close()
        stopped.set()
        thread.join(peers.LIMIT)
        self.assertFalse(thread.is_alive(), "Celery's client still publishes")
        for publisher in publishers:
            self.assertEqual(publisher.wait(), 0, publisher.output())
        taken = [line for line in publishers[0].output().splitlines() if len(line) == 36 and " " not in line]
        self.assertGreater(len(taken), 100)
        everything = set(taken) | set(accepted)
        wait_for(lambda: everything <= set(lines_of(log)), lambda: f"{len(everything - set(lines_of(log)))} lost tasks")

        def all_stored():
            texts = redis.client.mget(["celery-task-meta-" + number for number in everything])
            return all(text and json.loads(text)["status"] == "SUCCESS" for text in texts)
        wait_for(all_stored, "all results")
        wait_for(lambda: peers.queue_length(redis, "cpp") == 0, "an empty queue")
        self.assertIsNone(worker.process.poll(), worker.output())
        self.assertEqual(worker.stop(), 0, worker.output())
        print(f"{pool}: {len(everything)} tasks, {len(lines_of(log)) - len(everything)} more runs")

    def test_threads(self):
        self.run_rounds("threads")

    def test_processes(self):
        self.run_rounds("processes")

    def test_away_from_the_beginning(self):
        redis = peers.Redis(durable=True)
        redis.kill()
        worker = peers.TuttiWorker(redis.url(), "cpp", 1)
        wait_for(lambda: "cannot be reached" in worker.output(), lambda: f"a word about Redis in:\n{worker.output()}")
        redis.start()
        app = peers.celery_app(redis.url())
        self.assertEqual(app.send_task("tasks.add", args=(1, 2), queue="cpp").get(timeout=peers.LIMIT), 3)
        redis.kill()
        self.assertIn(worker.stop(), (0, 1))  # also while it is away; 1: it has ended a task that Redis has not heard of


if __name__ == "__main__":
    peers.main()
