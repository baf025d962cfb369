"""Very many tasks: the memory of a worker stays flat. `make test-soak` sends a million to each worker, other runs some."""

import os

import peers

COUNT = int(float(os.environ.get("TUTTI_SOAK_TASKS", "10000" if peers.FACTOR == 1 else "1000")))
WARM = max(COUNT // 4, 10000 if peers.FACTOR == 1 else 1000)  # until caches and heaps have their size


class Memory(peers.Case):
    def run_load(self, broker, pool, concurrency=2):
        worker = peers.TuttiWorker(broker, "soak", concurrency, pool, name="soak-" + pool)

        def memory_after(count):
            client = peers.Child("client", [peers.PROGRAM, "load", broker, "soak", str(count)], ours=True)
            self.assertEqual(client.wait(3000), 0, client.output()[-3000:])
            return peers.rss_of(worker.pid)
        early = memory_after(WARM)
        late = memory_after(COUNT)
        print(f"{broker.split(':')[0]} {pool}: {early} KiB after {WARM} tasks, {late} KiB after {COUNT} more")
        if peers.FACTOR == 1:  # sanitizers keep what was freed, and look for leaks themselves
            self.assertLessEqual(late, early * 1.1 + 4096 * (1 + (concurrency if pool == "processes" else 0)))
        self.assertEqual(worker.stop(), 0, worker.output()[-3000:])

    def test_redis(self):
        redis = peers.Redis()
        self.run_load(redis.url(), "threads")
        self.run_load(redis.url(1), "processes")

    def test_file(self):
        self.run_load("sqlite:" + self.path("tasks.db"), "threads")


if __name__ == "__main__":
    peers.main()
