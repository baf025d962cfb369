"""A client in Python calls tasks in C++: what goes there and comes back, canvases over both languages, errors, options."""

import datetime
import json
import struct
import time
import uuid

import celery
import celery.canvas
import celery.exceptions
from celery import chain, chord, group

import peers
from peers import LIMIT, STAND_IN, lines_of, wait_for

redis = app = cpp = python = None


def setUpModule():
    global redis, app, cpp, python
    redis = peers.Redis()
    app = peers.celery_app(redis.url())
    cpp = peers.TuttiWorker(redis.url(), "cpp", 4)
    python = peers.CeleryWorker(redis.url(), "py", 2)
    peers.ready(app, cpp, python)


def tearDownModule():
    peers.stop_all(cpp, python)


def s(name, *args, **kwargs):
    """A signature of a task by name, for the queue of its language."""
    options = {"queue": "cpp" if name.startswith("tasks.") else "py"}
    return app.signature(name, args=args, kwargs=kwargs, options=options)


def si(name, *args):
    return s(name, *args).set(immutable=True)


def call(name, *args, **kwargs):
    return s(name, *args, **kwargs).apply_async().get(timeout=LIMIT)


class Values(peers.Case):
    def test_positional_and_keyword_arguments(self):
        self.assertEqual(call("tasks.add", 2, 3), 5)
        self.assertEqual(call("tasks.add", a=2, b=-3), -1)
        self.assertEqual(call("tasks.add", 2, b=40), 42)
        self.assertIsNone(call("tasks.nothing"))

    def test_texts(self):
        for text in ("", "plain", "päñ 日本 😀", "\"quotes\" \\ / \b\f\n\r\t", "\x00 and \x1f", "\u2028\ufeff\uffff", "'" * 99):
            self.assertEqual(call("tasks.echo_text", text), text)

    def test_whole_numbers_to_their_limits(self):
        for number in (0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)):
            self.assertEqual(call("tasks.echo_int", number), number)
        for number in (0, 2**63, 2**64 - 1):
            self.assertEqual(call("tasks.echo_unsigned", number), number)

    def test_doubles_to_the_last_bit(self):
        numbers = [0.1, -0.0, 0.0, 1 / 3, 2 / 3, 3.141592653589793, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
                   -1e-7, 1e22, 1e23, 123456789012345680.0, 9007199254740993.0, 4.35, 0.1 + 0.2]
        back = call("tasks.echo_doubles", numbers)
        self.assertEqual([struct.pack("d", x) for x in back], [struct.pack("d", x) for x in numbers])
        self.assertEqual(struct.pack("d", call("tasks.echo_double", 2 / 3)), struct.pack("d", 2 / 3))
        self.assertEqual(call("tasks.echo_double", 7), 7.0)  # Python does not tell 7 from 7.0 at a call

    def test_nested_containers(self):
        table = {"": [], "ä": [None, 1.5], "b": [0.25, None, -3.0]}
        self.assertEqual(call("tasks.echo_table", table), table)

    def test_a_megabyte_there_and_back(self):
        text = "0123456789abcdé\n" * 65536
        self.assertEqual(call("tasks.echo_text", text), text)
        numbers = [i / 7 for i in range(60000)]
        self.assertEqual(call("tasks.echo_doubles", numbers), numbers)

    def test_a_number_that_is_no_uuid_and_headers(self):
        result = s("tasks.add", 1, 2).apply_async(task_id="order 17/ä")
        self.assertEqual((result.id, result.get(timeout=LIMIT)), ("order 17/ä", 3))
        header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        got = s("tasks.header", "traceparent").apply_async(headers={"traceparent": header}).get(timeout=LIMIT)
        self.assertEqual(got, header)

    def test_what_is_kept_of_a_result(self):
        result = s("tasks.add", 1, 2).apply_async()
        result.get(timeout=LIMIT)
        kept = json.loads(redis.client.get("celery-task-meta-" + result.id))
        self.assertEqual((kept["status"], kept["result"], kept["task_id"], kept["traceback"]),
                         ("SUCCESS", 3, result.id, None))
        self.assertIn("children", kept)
        self.assertLess(abs((result.date_done - datetime.datetime.utcnow()).total_seconds()), 3600)
        self.assertTrue(0 < redis.client.ttl("celery-task-meta-" + result.id) <= 86400)
        result.forget()
        self.assertEqual(result.state, "PENDING")

    def test_protocol_1(self):
        app.conf.task_protocol = 1
        try:
            self.assertEqual(s("tasks.add", 20, b=1).apply_async().get(timeout=LIMIT), 21)
        finally:
            app.conf.task_protocol = 2


class Canvas(peers.Case):
    def check(self, expected, canvas):
        self.assertEqual(canvas.apply_async().get(timeout=LIMIT), expected)

    def test_chain(self):
        self.check(40, chain(s("tasks.add", 2, 3), s("tasks.mul", 4), s("tasks.add", 20)))

    def test_chain_through_both_languages(self):
        self.check(42, chain(s("tasks.add", 2, 3), s("py.mul", 4), s("tasks.add", 1), s("py.add", 21)))
        self.check(43, chain(s("py.add", 2, 3), s("tasks.mul", 4), s("py.add", 1), s("tasks.add", 22)))
        self.check(9, chain(s("tasks.add", 2, 3), si("py.add", 4, 4), s("tasks.add", 1)))

    def test_parents_and_children_of_a_chain(self):
        result = chain(s("tasks.add", 2, 3), s("tasks.mul", 4), s("py.add", 1)).apply_async()
        self.assertEqual(result.get(timeout=LIMIT), 21)
        self.assertEqual((result.parent.get(), result.parent.parent.get()), (20, 5))
        first = result.parent.parent
        self.assertEqual([child.id for child in first.children], [result.parent.id])
        self.assertEqual([value for _, value in first.collect(timeout=LIMIT)], [5, 20, 21])

    def test_arguments_pass_through_cpp_unchanged(self):
        # Numbers that no C++ type has travel through a worker of C++ in what is left of a chain.
        self.check([[3, 2**100, 0.1, {"k": [None, True]}, "ä😀"], {"key": -2**70}],
                   chain(s("tasks.add", 1, 2), s("py.echo", 2**100, 0.1, {"k": [None, True]}, "ä😀", key=-2**70)))

    def test_group(self):
        self.check([0, 2, 4, 6], group(s("tasks.add", i, i) for i in range(4)))
        self.check([0, 2, 4, 6], group(s("py.add" if i % 2 else "tasks.add", i, i) for i in range(4)))

    def test_chords(self):
        for header in ("tasks.add", "py.add", "both"):
            for body in ("tasks.xsum", "py.xsum"):
                with self.subTest(header=header, body=body):
                    members = [s(header if header != "both" else ("tasks.add", "py.add")[i % 2], i, i) for i in range(6)]
                    self.check(30, chord(members, s(body)))

    def test_chord_keeps_the_order_of_its_header(self):
        members = [s(("tasks.echo_text", "py.echo")[i % 2], text) for i, text in enumerate("abcdefghij")]
        self.check("abcdefghij", chord(members, s("tasks.join")))

    def test_chord_of_one_and_of_many(self):
        self.check(5, chord([s("tasks.add", 2, 3)], s("tasks.xsum")))
        self.check(sum(range(300)), chord([s("tasks.add", i, 0) for i in range(300)], s("py.xsum")))

    def test_chord_of_groups(self):
        for both in (s("tasks.add", 5, 5), s("py.add", 5, 5)):
            for last in ("tasks.nap", "py.nap"):  # which comes last and so completes the chord
                with self.subTest(first=both.task, last=last):
                    header = [chain(both, group(s("tasks.add", 1), s("py.add", 2), s("tasks.add", 3))), s(last, 0.3)]
                    self.check([[11, 12, 13], None], chord(header, s("py.echo")))

    def test_chord_of_chains(self):
        header = [chain(s("tasks.add", 1, 2), s("py.mul", 3)), chain(s("py.add", 1, 2), s("tasks.mul", 4)), s("tasks.add", 0, 1)]
        self.check(22, chord(header, s("tasks.xsum")))

    def test_chord_inside_chains(self):
        self.check([18, 27], chain(s("tasks.add", 1, 2), group(s("tasks.add", 1), s("py.add", 2)), s("tasks.xsum"),
                                   group(s("py.mul", 2), s("tasks.mul", 3))))
        self.check(90, chain(group(s("tasks.add", 1, 2), s("py.add", 3, 3)), s("py.xsum"), s("tasks.mul", 10)))

    def test_chord_as_the_end_of_a_chain(self):
        for first in ("tasks.add", "py.add"):
            for body in ("tasks.xsum", "py.xsum"):
                with self.subTest(first=first, body=body):
                    self.check(9, chain(s(first, 1, 2), group(s("tasks.add", 1), s("py.add", 2)), s(body)))
                    self.check(45, chain(s(first, 1, 2), chord([s("tasks.add", 1), s("py.add", 2)], chain(s(body), s("py.mul", 5)))))

    def test_chunks_as_a_step(self):
        chunks = celery.canvas.chunks(s("tasks.add"), [(1, 2), (3, 4), (5, 6)], 2).set(queue="cpp")
        self.check([[3, 7], [11]], chain(s("tasks.add", 1, 2), chunks, s("py.echo")))

    def test_group_at_the_end_and_in_groups(self):
        self.check([4, 6], chain(s("tasks.add", 1, 1), group(s("tasks.mul", 2), s("py.mul", 3))))
        self.check([1, 2, 3], group(s("tasks.add", 0, 1), group(s("tasks.add", 0, 2), s("py.add", 0, 3))))

    def test_chord_with_a_part_that_fails(self):
        for failing in (s("tasks.fail", "boom"), s("py.fail", "ValueError", "boom")):
            for body in ("tasks.xsum", "py.xsum"):
                with self.subTest(failing=failing.task, body=body):
                    canvas = chord([s("tasks.add", 1, 1), failing, s("py.add", 1, 1)], s(body))
                    result = canvas.apply_async()
                    wait_for(result.ready, "the chord's end")
                    self.assertEqual(result.state, "FAILURE")
                    self.assertIsInstance(result.result, celery.exceptions.ChordError)
                    self.assertIn("boom", str(result.result))

    def test_a_chain_that_fails_goes_no_further(self):
        mark = self.path("mark")
        result = chain(s("tasks.fail", "no"), si("tasks.mark", mark, "ran"), si("py.mark", mark, "ran")).apply_async()
        with self.assertRaisesRegex(ValueError, "no"):
            result.get(timeout=LIMIT)  # Celery's client looks at the parents too
        self.assertEqual(lines_of(mark), [])

    def test_links(self):
        for task in ("tasks.note", "py.note"):
            notes = self.path(task)
            result = s("tasks.echo_text", "grüße").apply_async(link=s(task, notes))
            wait_for(lambda: lines_of(notes) == ["grüße"], lambda: f"{task} to be called: {lines_of(notes)}")
            self.assertEqual(len(result.children), 1)
        notes = self.path("both")
        s("py.echo", "x").apply_async(link=[s("tasks.note", notes), s("py.note", notes)])
        wait_for(lambda: lines_of(notes) == ["x", "x"], "both links")

    def test_links_of_failures(self):
        for failing in (s("tasks.fail", "boom"), s("py.fail", "ValueError", "boom")):
            for task in ("tasks.failed", "py.failed"):
                mark = self.path("mark" + failing.task + task)
                result = failing.clone().apply_async(link_error=s(task), link=si("py.mark", mark, "ran"))
                wait_for(lambda: f"{task} {result.id}" in lines_of(peers.Folder.path / "failed.txt"), f"{failing.task} -> {task}")
                self.assertEqual(lines_of(mark), [])
        result = chain(s("tasks.add", 1, 1), s("py.add", "x"), s("tasks.add", 1)).on_error(s("tasks.failed")).apply_async()
        wait_for(lambda: f"tasks.failed {result.parent.id}" in lines_of(peers.Folder.path / "failed.txt"), "of a chain")


class Errors(peers.Case):
    def test_classes_and_messages(self):
        for kind, expected in (("out_of_range", IndexError), ("runtime_error", RuntimeError), ("bad_alloc", MemoryError)):
            with self.subTest(kind), self.assertRaises(expected) as caught:
                call("tasks.fail_as", kind, "wörds 😀 \" \\")
            if kind != "bad_alloc":  # it has no text of its own
                self.assertEqual(str(caught.exception), "wörds 😀 \" \\")
        result = s("tasks.fail", "bad value: ä").apply_async()
        with self.assertRaises(ValueError) as caught:
            result.get(timeout=LIMIT)
        self.assertEqual(caught.exception.args, ("bad value: ä",))
        self.assertEqual(result.state, "FAILURE")
        self.assertIsInstance(result.result, ValueError)
        self.assertIn("bad value: ä", result.traceback)

    def test_a_class_of_the_programs_own(self):
        with self.assertRaisesRegex(Exception, "it was strange") as caught:
            call("tasks.fail_as", "strange", "it was strange")
        self.assertIn("strange", type(caught.exception).__name__)

    def test_something_that_is_no_exception(self):
        with self.assertRaisesRegex(Exception, "" if not STAND_IN else "42"):
            call("tasks.throw_int")
        self.assertEqual(call("tasks.add", 1, 1), 2)

    def test_arguments_that_do_not_fit(self):
        wrong = [((1,), {}), ((1, 2, 3), {}), ((), {}), ((1,), {"a": 2}), ((1,), {"c": 2})]
        if not STAND_IN:
            wrong += [(("1", 2), {}), ((1.5, 2), {}), ((None, 2), {}), ((2**63, 2), {}), (([1], 2), {}), ((True, 2), {})]
        for args, kwargs in wrong:
            with self.subTest(args=args, kwargs=kwargs), self.assertRaises(TypeError) as caught:
                call("tasks.add", *args, **kwargs)
            self.assertIn("add", str(caught.exception))
        self.assertEqual(call("tasks.add", 1, 1), 2)


class Options(peers.Case):
    def statuses(self, signature, act=lambda result, seen: None, **options):
        """Sends a task, and all states that its result had, until it has ended."""
        number = str(uuid.uuid4())
        channel = redis.client.pubsub()
        channel.subscribe("celery-task-meta-" + number)
        wait_for(lambda: channel.get_message(timeout=0.1), "the subscription")
        result = signature.apply_async(task_id=number, **options)
        seen = []
        end = time.monotonic() + LIMIT
        while not seen or seen[-1]["status"] not in ("SUCCESS", "FAILURE", "REVOKED"):
            self.assertLess(time.monotonic(), end, f"only these states came: {seen}")
            message = channel.get_message(ignore_subscribe_messages=True, timeout=0.1)
            if message:
                seen.append(json.loads(message["data"]))
                act(result, seen)
        channel.close()
        return result, seen

    def test_countdown_and_eta(self):
        sent = time.time()
        results = [s("tasks.now").apply_async(countdown=0.7),
                   s("tasks.now").apply_async(eta=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=0.7)),
                   s("py.now").apply_async(countdown=0.7)]
        at_once = s("tasks.now").apply_async()
        at_once.get(timeout=LIMIT)
        for result in results:
            self.assertGreaterEqual(result.get(timeout=LIMIT), sent + 0.69)

    def test_expired(self):
        mark = self.path("mark")
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=5)
        result = s("tasks.mark", mark, "ran").apply_async(expires=past)
        with self.assertRaisesRegex(celery.exceptions.TaskRevokedError, "expired"):
            result.get(timeout=LIMIT)
        self.assertEqual(result.state, "REVOKED")
        self.assertEqual(lines_of(mark), [])
        self.assertEqual(s("tasks.add", 1, 2).apply_async(expires=3600).get(timeout=LIMIT), 3)

    def test_ignored_results(self):
        mark = self.path("mark")
        worker = peers.TuttiWorker(redis.url(), "ignored", 1, name="ignored")
        ignored = [s("tasks.fail", "x").apply_async(queue="ignored", ignore_result=True),
                   s("tasks.mark", mark, "ran").apply_async(queue="ignored", ignore_result=True)]
        kept = s("tasks.add", 1, 2).apply_async(queue="ignored")
        self.assertEqual(kept.get(timeout=LIMIT), 3)  # one at a time: the others have run
        self.assertEqual(lines_of(mark), ["ran"])
        self.assertEqual(worker.stop(), 0, worker.output())  # and all that it had to store is stored
        self.assertEqual([redis.client.exists("celery-task-meta-" + one.id) for one in [*ignored, kept]], [0, 0, 1])

    def test_retries_are_seen(self):
        result, seen = self.statuses(s("tasks.flaky", 3))
        self.assertEqual([one["status"] for one in seen if one["status"] != "STARTED"], ["RETRY"] * 3 + ["SUCCESS"])
        self.assertEqual(result.get(timeout=LIMIT), 3)
        self.assertIn("not yet", json.dumps(seen[0]["result"]))

    def test_retry_in_a_chain_and_a_chord(self):
        self.assertEqual(chain(s("tasks.flaky", 2), s("py.add", 1)).apply_async().get(timeout=LIMIT), 3)
        self.assertEqual(chord([s("tasks.flaky", 1), s("py.flaky", 2)], s("tasks.xsum")).apply_async().get(timeout=LIMIT), 3)

    def test_progress_is_seen(self):
        for task in ("tasks.progress", "py.progress"):
            go_on = self.path("go-on-" + task)

            def act(result, seen):
                if seen[-1]["status"] == "PROGRESS":
                    self.assertEqual((result.state, result.info), ("PROGRESS", {"done": 1, "of": 2}))
                    open(go_on, "w").close()
            result, seen = self.statuses(s(task, go_on), act)
            self.assertEqual([one["status"] for one in seen if one["status"] != "STARTED"], ["PROGRESS", "SUCCESS"])
            self.assertEqual(result.get(timeout=LIMIT), "done")

    def test_priorities_order_what_waits(self):
        order = self.path("order")
        given = [9, 3, 0, 6, 9, None, 3, 0, 6, 4]
        for i, priority in enumerate(given):
            s("tasks.mark", order, f"{priority} {i}").apply_async(queue="urgent", **({} if priority is None else {"priority": priority}))
        worker = peers.TuttiWorker(redis.url(), "urgent", 1, "inline", name="urgent")
        wait_for(lambda: len(lines_of(order)) == len(given), "all tasks")
        self.assertEqual(worker.stop(), 0, worker.output())
        # Celery's meaning on Redis: 0 is first; four lists; first come, first served in each.
        step = [(max(level for level in (0, 3, 6, 9) if level <= (priority or 0)), i) for i, priority in enumerate(given)]
        self.assertEqual(lines_of(order), [f"{given[i]} {i}" for _, i in sorted(step)])


class Revocation(peers.Case):
    def test_of_what_waits(self):
        for pool in ("threads", "processes"):
            with self.subTest(pool):
                queue, folder = "waits-" + pool, self.path(pool)
                worker = peers.TuttiWorker(redis.url(), queue, 1, pool, name=queue)
                peers.ready(app, worker)
                running = s("tasks.hold", folder + "started", folder + "released").apply_async(queue=queue)
                wait_for(lambda: lines_of(folder + "started"), "the first task")
                waiting = s("tasks.mark", folder + "mark", "ran").apply_async(queue=queue)
                after = s("tasks.mark", folder + "mark", "after").apply_async(queue=queue)
                waiting.revoke()
                wait_for(lambda: waiting.id in (peers.inspect(app, worker, "revoked") or []), "the worker to know")
                open(folder + "released", "w").close()
                self.assertEqual(running.get(timeout=LIMIT), "released")
                after.get(timeout=LIMIT)
                with self.assertRaises(celery.exceptions.TaskRevokedError):
                    waiting.get(timeout=LIMIT)
                self.assertEqual(lines_of(folder + "mark"), ["after"])
                self.assertEqual(worker.stop(), 0, worker.output())

    def test_of_what_runs(self):
        for pool in ("processes",) if STAND_IN else ("processes", "threads"):
            with self.subTest(pool):
                queue, folder = "runs-" + pool, self.path(pool)
                worker = peers.TuttiWorker(redis.url(), queue, 1, pool, name=queue)
                peers.ready(app, worker)
                running = s("tasks.hold", folder + "started", folder + "never").apply_async(queue=queue)
                wait_for(lambda: lines_of(folder + "started"), "the task")
                running.revoke(terminate=True, signal="SIGKILL")
                with self.assertRaises(celery.exceptions.TaskRevokedError):
                    running.get(timeout=LIMIT)
                self.assertEqual(running.state, "REVOKED")
                self.assertEqual(s("tasks.add", 1, 2).apply_async(queue=queue).get(timeout=LIMIT), 3)
                self.assertEqual(lines_of(folder + "started"), ["started"])  # and it did not run again
                self.assertEqual(worker.stop(), 0, worker.output())


if __name__ == "__main__":
    peers.main()
