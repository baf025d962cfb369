"""A client in C++ calls tasks in Python: client_checks.cpp is the test; this starts what it talks to."""

import peers
from peers import lines_of, wait_for


class CppClient(peers.Case):
    def test_all(self):
        redis = peers.Redis()
        app = peers.celery_app(redis.url())
        workers = [peers.CeleryWorker(redis.url(), "py", 4), peers.TuttiWorker(redis.url(), "cpp", 2)]
        peers.ready(app, *workers)
        client = peers.Child("client", [peers.PROGRAM, "client", redis.url(), str(self.folder)], ours=True)
        status = client.wait(3 * peers.LIMIT)
        self.assertEqual(status, 0, client.output())

        # What it sent to a queue that nobody looked at: bigger is sooner, first come, first served. Celery has four lists.
        worker = peers.CeleryWorker(redis.url(), "urgent-py", 1, "solo", name="urgent")
        wait_for(lambda: len(lines_of(self.path("order"))) == 5, "tasks with priorities")
        self.assertEqual(worker.stop(), 0, worker.output())
        self.assertEqual(lines_of(self.path("order")), ["9", "9", "5", "3", "0"])
        peers.stop_all(*workers)


if __name__ == "__main__":
    peers.main()
