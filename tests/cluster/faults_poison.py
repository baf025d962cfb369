"""Messages that cannot be run, for any reason: they end in the dead-letter queue with the reason, and the worker goes on."""

import base64
import datetime
import json
import uuid

import celery.exceptions

import peers
from peers import LIMIT, lines_of, wait_for


def envelope(body=b'[[1, 2], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]', drop=(), content="application/json",
             encoding="utf-8", properties=None, **headers):
    """An element of a queue as Celery makes it, with something changed; its id."""
    number = str(uuid.uuid4())
    made = {
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body, "content-encoding": encoding,
        "content-type": content,
        "headers": {"lang": "py", "task": "tasks.add", "id": number, "shadow": None, "eta": None, "expires": None, "group": None,
                    "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": number, "parent_id": None,
                    "argsrepr": "(1, 2)", "kwargsrepr": "{}", "origin": "test", "ignore_result": False, **headers},
        "properties": {"correlation_id": number, "reply_to": str(uuid.uuid4()), "delivery_mode": 2,
                       "delivery_info": {"exchange": "", "routing_key": "cpp"}, "priority": 0, "body_encoding": "base64",
                       "delivery_tag": str(uuid.uuid4()), **(properties or {})}}
    for name in drop:
        made.pop(name, None)
        made["headers"].pop(name, None) if "headers" in made else None
    return json.dumps(made), number


class Poison(peers.Case):
    def setUp(self):
        super().setUp()
        self.redis = peers.Redis()
        self.app = peers.celery_app(self.redis.url())

    def add(self):
        return self.app.send_task("tasks.add", args=(1, 2), queue="cpp").get(timeout=LIMIT)

    def dead(self):
        return {headers.get("id"): headers for headers in peers.dead_letters(self.redis, "cpp")}

    def test_the_envelope_of_this_test(self):
        worker = peers.TuttiWorker(self.redis.url(), "cpp", 1)
        text, number = envelope()
        self.redis.client.lpush("cpp", text)
        self.assertEqual(self.app.AsyncResult(number).get(timeout=LIMIT), 3)
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_what_cannot_be_read(self):
        worker = peers.TuttiWorker(self.redis.url(), "cpp", 1)
        named = {
            "pickle": envelope(b"\x80\x04\x95", content="application/x-python-serialize", encoding="binary"),
            "yaml": envelope(b"[[1, 2], {}]", content="application/x-yaml"),
            "gzip": envelope(compression="application/x-gzip"),
            "no JSON": envelope(b"no JSON"),
            "half a body": envelope(b"[[1, 2], {}"),
            "NaN": envelope(b"[[NaN, 2], {}, {}]"),
            "a body that is no array": envelope(b'"text"'),
            "arguments that are none": envelope(b'["text", 5, {}]'),
            "no base64": envelope("!!!"),
            "another encoding": envelope(properties={"body_encoding": "rot13"}),
            "deep": envelope(b"[[" + b"[" * 100000 + b"]" * 100000 + b"], {}, {}]"),
        }
        nameless = ["no JSON", "", "[]", "{}", "null", "17", '"text"', b"\xff\xfe\x00", b"\x00", "{" * 100000, '{"body": 1}',
                    '{"headers": []}', '{"headers": {"id": 5, "task": {}}, "body": "W10="}', envelope(drop=("body",))[0],
                    envelope(drop=("headers",))[0], envelope(drop=("task",))[0], envelope(task=None)[0], envelope(drop=("id",))[0]]
        for text in [text for text, _ in named.values()] + nameless:
            self.redis.client.lpush("cpp", text)
        self.assertEqual(self.add(), 3)
        wait_for(lambda: len(peers.dead_letters(self.redis, "cpp")) == len(named) + len(nameless),
                 lambda: f"{len(named) + len(nameless)} dead letters; there are only:\n" + "\n".join(
                     str((headers.get("id"), headers.get("x-death-reason"))) for headers in peers.dead_letters(self.redis, "cpp")))
        for headers in peers.dead_letters(self.redis, "cpp"):
            self.assertTrue(isinstance(headers.get("x-death-reason"), str) and headers["x-death-reason"], headers)
        dead = self.dead()
        for what, (_, number) in named.items():
            with self.subTest(what):
                self.assertIn(number, dead)
                wait_for(self.app.AsyncResult(number).ready, "a result")
                self.assertEqual(self.app.AsyncResult(number).state, "FAILURE")
        self.assertIn("pickle", dead[named["pickle"][1]]["x-death-reason"])
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_headers_of_the_wrong_type(self):
        worker = peers.TuttiWorker(self.redis.url(), "cpp", 1)
        sent = {}
        for name, value in (("eta", 5), ("eta", "soon"), ("expires", "never"), ("expires", [1]), ("retries", "x"), ("retries", -5),
                            ("timelimit", "long"), ("timelimit", [1, "x", 3]), ("group", 7), ("group_index", "x"), ("root_id", {}),
                            ("ignore_result", "maybe"), ("shadow", 3), ("argsrepr", None), ("eta", "9999-99-99T00:00:00"),
                            ("timelimit", [1e300, -1])):
            text, number = envelope(**{name: value})
            sent[number] = (name, value)
            self.redis.client.lpush("cpp", text)
        self.assertEqual(self.add(), 3)
        for number, what in sent.items():  # run or refused, each in its way: but none is silent
            with self.subTest(what):
                wait_for(self.app.AsyncResult(number).ready, lambda: f"the end of {what}")
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_what_cannot_be_run(self):
        worker = peers.TuttiWorker(self.redis.url(), "cpp", 1)
        unknown = self.app.send_task("tasks.no_such_task", args=(1,), queue="cpp")
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=5)
        expired = self.app.send_task("tasks.add", args=(1, 2), queue="cpp", expires=past)
        misfit = self.app.send_task("tasks.add", args=("x", None), queue="cpp")
        with self.assertRaises(TypeError):
            misfit.get(timeout=LIMIT)
        with self.assertRaises(celery.exceptions.NotRegistered):
            unknown.get(timeout=LIMIT)
        with self.assertRaises(celery.exceptions.TaskRevokedError):
            expired.get(timeout=LIMIT)
        wait_for(lambda: {unknown.id, expired.id} <= set(self.dead()), lambda: f"dead letters: {self.dead()}")
        self.assertNotIn(misfit.id, self.dead())  # its caller made a mistake, and hears of it
        self.assertIn("no_such_task", self.dead()[unknown.id]["x-death-reason"])
        self.assertIn("expired", self.dead()[expired.id]["x-death-reason"])
        self.assertEqual(self.add(), 3)
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_a_hundred_megabytes(self):
        worker = peers.TuttiWorker(self.redis.url(), "cpp", 1)
        self.assertEqual(self.add(), 3)
        text, number = envelope(b'[["' + b"x" * (77 << 20) + b'"], {}, {}]', task="tasks.echo_text")
        self.assertGreater(len(text), 100 << 20)
        self.redis.client.lpush("cpp", text)
        del text
        wait_for(lambda: peers.queue_length(self.redis, "cpp.dead") == 1, "the dead letter")
        self.assertEqual(self.add(), 3)
        element = self.redis.client.lrange("cpp.dead", 0, -1)[0]
        self.assertIn(b"x-death-reason", element)
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_a_killer_in_processes(self):
        worker = peers.TuttiWorker(self.redis.url(), "cpp", 2, "processes")
        killer = self.app.send_task("tasks.killer", args=(self.path("kills"),), queue="cpp")
        others = [self.app.send_task("tasks.work", args=(self.path("others"), str(i), 0.01), queue="cpp") for i in range(20)]
        with self.assertRaises(celery.exceptions.WorkerLostError):
            killer.get(timeout=LIMIT)
        peers.values_of(self.redis, others)
        wait_for(lambda: killer.id in self.dead(), lambda: f"the dead letter: {self.dead()}")
        self.assertTrue(self.dead()[killer.id]["x-death-reason"])
        self.assertIn(len(lines_of(self.path("kills"))), range(1, 11))
        self.assertEqual(sorted(lines_of(self.path("others")), key=int), [str(i) for i in range(20)])
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_a_killer_in_threads(self):
        # It takes the whole worker with it, each time; somebody starts that again.
        killer = self.app.send_task("tasks.killer", args=(self.path("kills"),), queue="cpp")
        worker = None

        def restarted_until_it_is_dead():
            nonlocal worker
            if worker is None or worker.process.poll() is not None:
                worker = peers.TuttiWorker(self.redis.url(), "cpp", 2, name=f"worker-{len(peers.Child.all)}")
            return killer.id in self.dead()
        wait_for(restarted_until_it_is_dead, lambda: f"the end after {lines_of(self.path('kills'))}", 2 * LIMIT)
        self.assertIn(len(lines_of(self.path("kills"))), range(1, 11))
        with self.assertRaises(celery.exceptions.WorkerLostError):
            killer.get(timeout=LIMIT)
        self.assertEqual(self.add(), 3)
        self.assertEqual(worker.stop(), 0, worker.output())


if peers.STAND_IN:  # Celery has no dead letters, and ends of some of these
    for name in [name for name in vars(Poison) if name.startswith("test_") and name != "test_the_envelope_of_this_test"]:
        delattr(Poison, name)

if __name__ == "__main__":
    peers.main()
