"""Workers in Python and in C++ share one queue under load: each message runs once."""

import collections

import peers
from peers import lines_of, wait_for

COUNT = 2000


class SharedQueue(peers.Case):
    def test_each_message_runs_once(self):
        redis = peers.Redis()
        app = peers.celery_app(redis.url())
        log = self.path("log")
        # Half of the tasks have a name that both know: Celery's workers have the twins of the tasks in C++ here.
        workers = [peers.TuttiWorker(redis.url(), "shared", 2, "threads", name="tutti-threads"),
                   peers.TuttiWorker(redis.url(), "shared", 2, "processes", name="tutti-processes"),
                   peers.Child("celery-worker", [*peers.CELERY, "-A", "twins", "worker", "-Q", "shared", "-c", "2", "-P", "prefork",
                                                 "-l", "WARNING", "-n", "python@box", "--without-gossip", "--without-mingle"],
                               ours=False, env={"CLUSTER_BROKER": redis.url()})]
        workers[2].hostname = "python@box"
        peers.ready(app, *workers)
        with app.producer_pool.acquire(block=True) as producer:
            def send(i):
                return app.send_task("tasks.log_id", args=(log,), queue="shared", priority=(None, 0, 3, 9)[i % 4], producer=producer)
            results = [send(i) for i in range(COUNT)]
        wait_for(lambda: len(lines_of(log)) >= COUNT, lambda: f"all tasks, {len(lines_of(log))} have run")
        peers.values_of(redis, results)
        ran = collections.Counter(lines_of(log))
        self.assertEqual(ran, collections.Counter(result.id for result in results))
        self.assertEqual(peers.queue_length(redis, "shared"), 0)
        stats = [wait_for(lambda: peers.inspect(app, worker, "stats"), "an answer") for worker in workers]
        totals = {worker.hostname: sum(answer["total"].values()) for worker, answer in zip(workers, stats)}
        print(totals)
        self.assertEqual(sum(totals.values()), COUNT)
        self.assertTrue(all(totals.values()), totals)
        peers.stop_all(*workers)
        self.assertEqual(redis.client.hlen("unacked"), 0)


if __name__ == "__main__":
    peers.main()
