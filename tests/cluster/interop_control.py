"""Celery's remote control and events against workers in C++, and tutti's against workers in Python."""

import concurrent.futures
import json
import re
import time

from celery import exceptions as celery_exceptions

import peers
from peers import COMMAND, LIMIT, STAND_IN, lines_of, wait_for

redis = app = cpp = python = None
REPLY = str(20 * peers.FACTOR)  # seconds until an answer is missing; those who are asked by name need far less


def setUpModule():
    global redis, app, cpp, python
    redis = peers.Redis()
    app = peers.celery_app(redis.url())
    cpp = peers.TuttiWorker(redis.url(), "cpp,more", 2, "threads")
    python = peers.CeleryWorker(redis.url(), "py", 2)
    peers.ready(app, cpp, python)


def tearDownModule():
    peers.stop_all(cpp, python)


def send(name, *args, queue="cpp", **options):
    return app.send_task(name, args=args, queue=queue, **options)


def celery(*arguments):
    return peers.celery_command(redis.url(), *arguments)


def control(*arguments):
    """`celery control` of the worker in C++."""
    return celery("control", "-d", cpp.hostname, "-t", REPLY, *arguments)


class CeleryAsks(peers.Case):
    def ask(self, *arguments):
        """What `celery inspect` gets from the worker in C++, and only from that."""
        status, text = celery("inspect", "--json", "-d", cpp.hostname, "-t", REPLY, *arguments)
        self.assertEqual(status, 0, text)
        self.assertNotIn("s3cret", text)
        answer = json.loads(text[text.index("{"):])
        self.assertEqual(list(answer), [cpp.hostname])
        return answer[cpp.hostname]

    def test_inspect(self):
        held = [(send("tasks.hold", self.path("started"), self.path("released")), "tasks.hold") for _ in range(2)]
        wait_for(lambda: len(lines_of(self.path("started"))) == 2, "two tasks that run")
        waits = send("tasks.add", 1, 2)
        revoked = "11111111-2222-3333-4444-555555555555"
        app.control.revoke(revoked)
        questions = {"ping": [], "active": [], "reserved": [], "scheduled": [], "stats": [], "registered": [],
                     "active_queues": [], "query_task": [held[0][0].id], "revoked": [], "report": [], "clock": []}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = {command: pool.submit(self.ask, command, *more) for command, more in questions.items()}
        answers = {command: answer.result() for command, answer in answers.items()}

        self.assertEqual(answers["ping"], {"ok": "pong"})
        self.assertEqual(sorted(task["id"] for task in answers["active"]), sorted(one.id for one, _ in held))
        for task in answers["active"]:
            self.assertEqual((task["name"], task["hostname"]), ("tasks.hold", cpp.hostname))
            self.assertEqual(task["args"], [self.path("started"), self.path("released")])
            self.assertEqual(task["kwargs"], {})
            self.assertEqual(task["delivery_info"]["routing_key"], "cpp")
            self.assertLess(abs(task["time_start"] - time.time()), 600)
            self.assertIsInstance(task["worker_pid"], int)
        self.assertLessEqual({task["id"] for task in answers["reserved"]}, {waits.id})
        self.assertEqual(answers["scheduled"], [])
        self.assertEqual(answers["stats"]["pool"]["max-concurrency"], 2)
        self.assertEqual(answers["stats"]["pid"], cpp.pid)
        self.assertIsInstance(answers["stats"]["total"], dict)
        self.assertGreaterEqual(answers["stats"]["uptime"], 0)
        self.assertEqual(answers["stats"]["broker"]["port"], redis.port)
        self.assertTrue(any(task.split(" ")[0].split("(")[0] == "tasks.add" for task in answers["registered"]), answers["registered"])
        self.assertEqual(sorted(queue["name"] for queue in answers["active_queues"]), ["cpp", "more"])
        self.assertEqual(list(answers["query_task"]), [held[0][0].id])
        self.assertEqual(answers["query_task"][held[0][0].id][0], "active")
        self.assertEqual(answers["query_task"][held[0][0].id][1]["name"], "tasks.hold")
        self.assertIn(revoked, answers["revoked"])
        self.assertIn("celery" if STAND_IN else "tutti", answers["report"]["ok"])
        self.assertIn("clock", answers["clock"])

        open(self.path("released"), "w").close()
        self.assertEqual([one.get(timeout=LIMIT) for one, _ in held], ["released", "released"])
        self.assertEqual(waits.get(timeout=LIMIT), 3)
        wait_for(lambda: peers.inspect(app, cpp, "active") == [], "none that runs")
        self.assertGreaterEqual(self.ask("stats")["total"]["tasks.hold"], 2)

    def test_inspect_for_people(self):
        # All are asked, and who is too slow is not heard: then once more.
        for question, answers in ((["inspect", "ping"], [rf"{cpp.hostname}: OK\s+pong", rf"{python.hostname}: OK\s+pong"]),
                                  (["status"], [rf"{cpp.hostname}: .*OK", "2 nodes online"])):
            with self.subTest(question):
                said = []

                def answered():
                    status, text = celery(*question, "-t", str(peers.FACTOR))
                    said.append(text)
                    return status == 0 and all(re.search(answer, text) for answer in answers)
                wait_for(answered, lambda: f"{answers} in:\n{said[-1]}")

    def test_nonsense_harms_nobody(self):
        # In a database of its own: Celery's workers end of some of it.
        there = peers.celery_app(redis.url(1))
        worker = peers.TuttiWorker(redis.url(1), "cpp", 1)
        peers.ready(there, worker)
        to_it = [worker.hostname]
        if not STAND_IN:
            there.control.broadcast("no_such_command", arguments={"x": 1}, reply=True, destination=to_it, timeout=LIMIT, limit=1)
            there.control.broadcast("revoke", arguments={"task_id": 17, "terminate": "x", "signal": ["y"]}, destination=to_it)
            there.control.broadcast("rate_limit", arguments={"nonsense": None}, destination=to_it)
            there.control.broadcast("shutdown", arguments={}, destination=["another@box"])
            for text in ("no JSON", "[]", json.dumps({"body": "!!!", "properties": 3}), "{" * 100000, "\xff\x00", '{"body": {}}'):
                redis.client.publish("/1.celery.pidbox", text)
        self.assertEqual(there.control.ping(to_it, timeout=LIMIT, limit=1), [{worker.hostname: {"ok": "pong"}}])
        self.assertEqual(worker.stop(), 0, worker.output())

    def test_call(self):
        status, text = celery("call", "tasks.add", "--args", "[2, 3]", "--queue", "cpp")
        self.assertEqual(status, 0, text)
        number = re.search(r"[0-9a-f-]{36}", text)[0]
        self.assertEqual(app.AsyncResult(number).get(timeout=LIMIT), 5)
        status, text = celery("call", "tasks.add", "--kwargs", '{"a": 2, "b": 40}', "--queue", "cpp")
        self.assertEqual(app.AsyncResult(re.search(r"[0-9a-f-]{36}", text)[0]).get(timeout=LIMIT), 42)

    def test_control_rate_limit(self):
        status, text = control("rate_limit", "tasks.mark", "2/s")
        self.assertEqual(status, 0, text)
        self.assertIn("OK", text)
        self.assertRegex(text, "rate limit set")
        begun = time.monotonic()
        limited = [send("tasks.mark", self.path("mark"), "x") for _ in range(4)]
        self.assertEqual(send("tasks.add", 1, 2).get(timeout=LIMIT), 3)  # others are not held up
        for one in limited:
            one.get(timeout=LIMIT)
        self.assertGreaterEqual(time.monotonic() - begun, 1.0)
        status, text = control("rate_limit", "tasks.no_such_task", "2/s")
        self.assertIn("unknown task", text.lower())
        status, text = control("rate_limit", "tasks.mark", "often")
        self.assertNotRegex(text, "rate limit set")
        status, text = control("rate_limit", "tasks.mark", "0")
        self.assertRegex(text, "rate limit|disabled")

    def test_control_revoke(self):
        held = [send("tasks.hold", self.path("started"), self.path("released")) for _ in range(2)]
        wait_for(lambda: len(lines_of(self.path("started"))) == 2, "two tasks that run")
        waits = send("tasks.mark", self.path("mark"), "ran")
        status, text = control("revoke", waits.id)
        self.assertEqual(status, 0, text)
        self.assertIn("OK", text)
        open(self.path("released"), "w").close()
        with self.assertRaises(celery_exceptions.TaskRevokedError):
            waits.get(timeout=LIMIT)
        self.assertEqual([one.get(timeout=LIMIT) for one in held], ["released"] * 2)
        self.assertEqual(lines_of(self.path("mark")), [])

    def test_events(self):
        dump = peers.Child("celery-events", [*peers.CELERY, "-b", redis.url(), "events", "--dump"], ours=False,
                           env={"PYTHONUNBUFFERED": "1"})
        status, text = control("enable_events")
        self.assertEqual(status, 0, text)
        self.assertIn("OK", text)
        wait_for(lambda: f"{cpp.hostname} " in dump.output() and "heartbeat" in dump.output(),
                 lambda: f"a heartbeat in:\n{dump.output()}")

        def seen(number, kind):
            return any(number in line and kind in line for line in dump.output().splitlines())
        good, bad = send("tasks.add", 1, 2), send("tasks.fail", "seen")
        again = send("tasks.flaky", 1)
        for one, kinds in ((good, ("received", "started", "succeeded")), (bad, ("received", "started", "failed")),
                           (again, ("received", "retried", "succeeded"))):
            for kind in kinds[:2] if STAND_IN else kinds:  # Celery drops some when threads run the tasks
                wait_for(lambda: seen(one.id, kind), lambda: f"{kind} in:\n{dump.output()}")
        self.assertIn("tasks.add", dump.output())
        status, text = control("disable_events")
        self.assertEqual(status, 0, text)
        dump.kill()

    def test_shutdown(self):
        for pool in ("threads", "processes"):
            worker = peers.TuttiWorker(redis.url(), "leaving", 1, pool, name="leaving-" + pool)
            peers.ready(app, worker)
            held = send("tasks.hold", self.path(pool + "started"), self.path(pool + "released"), queue="leaving")
            wait_for(lambda: lines_of(self.path(pool + "started")), "the task")
            status, text = celery("control", "-t", "0.2", "-d", worker.hostname, "shutdown")
            self.assertIn(status, (0, 69), text)  # 69: nobody answered, as Celery's own do not
            open(self.path(pool + "released"), "w").close()
            self.assertEqual(worker.wait(), 0, worker.output())
            self.assertEqual(held.get(timeout=LIMIT), "released")


class TuttiAsks(peers.Case):
    def ask(self, *arguments, expected=()):
        """All are asked, and who is too slow is not heard: until each of `expected` has been said at once."""
        said = []

        def answered():
            status, text = peers.tutti_command(arguments[0], "--broker", redis.url(), "-t", str(peers.FACTOR), *arguments[1:])
            said.append(f"{status}: {text}")
            return status == 0 and all(one in text for one in expected)
        wait_for(answered, lambda: f"{expected} from {arguments}:\n{said[-1]}")

    def test_status(self):
        self.ask("status", expected=[python.hostname, cpp.hostname])

    def test_inspect(self):
        held = app.send_task("py.hold", args=(self.path("released"),), queue="py")
        wait_for(lambda: peers.inspect(app, python, "active"), "the task")
        for command, expected in (("ping", "pong"), ("registered", "py.add"), ("active_queues", "py"), ("stats", "max-concurrency"),
                                  ("active", held.id), ("reserved", python.hostname), ("revoked", python.hostname),
                                  ("report", python.hostname)):
            with self.subTest(command):
                self.ask("inspect", command, expected=[python.hostname, cpp.hostname, expected])
        self.ask("inspect", "query_task", held.id, expected=[held.id])
        open(self.path("released"), "w").close()
        self.assertEqual(held.get(timeout=LIMIT), "released")

    def test_control(self):
        held = [app.send_task("py.hold", args=(self.path("released"),), queue="py") for _ in range(2)]
        wait_for(lambda: len(peers.inspect(app, python, "active") or []) == 2, "tasks")
        waits = app.send_task("py.mark", args=(self.path("mark"), "ran"), queue="py")
        self.ask("control", "revoke", waits.id, expected=[python.hostname])
        self.ask("inspect", "revoked", expected=[waits.id])
        open(self.path("released"), "w").close()
        for one in held:
            one.get(timeout=LIMIT)
        with self.assertRaises(celery_exceptions.TaskRevokedError):
            waits.get(timeout=LIMIT)
        self.ask("control", "rate_limit", "py.mark", "100/m", "-d", python.hostname, expected=["rate limit"])
        leaving = peers.CeleryWorker(redis.url(), "leaving-py", 1, name="leaving")
        peers.ready(app, leaving)
        status, text = peers.tutti_command("control", "--broker", redis.url(), "shutdown", "-d", leaving.hostname)
        self.assertEqual(status, 0, text)
        self.assertEqual(leaving.wait(), 0)

    def test_nobody_there(self):
        status, text = peers.tutti_command("status", "--broker", redis.url(database=9))
        self.assertNotEqual(status, 0, text)
        port = peers.free_port()
        status, text = peers.tutti_command("inspect", "ping", "--broker", redis.url(port=port))
        self.assertNotEqual(status, 0, text)
        self.assertIn(str(port), text)



if STAND_IN or not COMMAND:
    del TuttiAsks

if __name__ == "__main__":
    peers.main()
