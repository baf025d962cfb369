"""Very many tasks: the memory of a worker stays flat. `make test-soak` sends a million on each broker, other runs some."""

import os
import re

import peers
from peers import wait_for

COUNT = int(float(os.environ.get("TUTTI_SOAK_TASKS", "20000")))


class Memory(peers.Case):
    def run_load(self, broker, pool, concurrency=2):
        worker = peers.TuttiWorker(broker, "soak", concurrency, pool, name="soak-" + pool)
        client = peers.Child("client", [peers.PROGRAM, "load", broker, "soak", str(COUNT)], ours=True)
        early = peak = 0

        def sample():
            nonlocal early, peak
            sent = [int(line) for line in re.findall(r"^(\d+)$", client.output(), re.MULTILINE)]
            now = peers.rss_of(worker.pid)
            if not early and sent and sent[-1] >= COUNT // 5:
                early = now
            if early:
                peak = max(peak, now)
            return client.process.poll() is not None
        wait_for(sample, lambda: f"the end; the client said:\n{client.output()[-500:]}", 3000)
        self.assertEqual(client.process.returncode, 0, client.output())
        print(f"{broker.split(':')[0]} {pool}: {COUNT} tasks, {early} KiB after a fifth, {peak} KiB at most")
        self.assertTrue(early)
        self.assertLessEqual(peak, early * 1.1 + 4096 * (1 + (concurrency if pool == "processes" else 0)))
        self.assertEqual(worker.stop(), 0, worker.output()[-3000:])

    def test_redis(self):
        redis = peers.Redis()
        self.run_load(redis.url(), "threads")
        self.run_load(redis.url(1), "processes")

    def test_file(self):
        self.run_load("sqlite:" + self.path("tasks.db"), "threads")


if __name__ == "__main__":
    peers.main()
