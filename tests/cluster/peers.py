"""What the tests of tutti/cluster with real peers share: a Redis, workers of Celery and of tutti, and waiting with a limit.

Each script of this folder starts its own Redis, with a password that must not appear in anything a program of tutti says.
Everything that is started dies with the script, however that ends. CLUSTER_STAND_IN=1 puts Celery's workers in the place
of tutti's, to test the tests.
"""

import ctypes
import gc
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import celery
import redis

HERE = pathlib.Path(__file__).resolve().parent
PASSWORD = "s3cret/@:word"
PASSWORD_IN_URL = "s3cret%2F%40%3Aword"
FACTOR = float(os.environ.get("TUTTI_TIME_FACTOR", "1"))
LIMIT = float(os.environ.get("CLUSTER_LIMIT", "60")) * FACTOR  # seconds until a wait has failed
SANITIZERS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "FATAL: ThreadSanitizer",
              "runtime error: ")
STAND_IN = os.environ.get("CLUSTER_STAND_IN") == "1"
PROGRAM = os.environ.get("CLUSTER_PROGRAM", "")  # a program of this folder, with the tasks of tutti_tasks.cpp
LIBRARY = os.environ.get("CLUSTER_LIBRARY", "")  # the same tasks as a library
COMMAND = os.environ.get("TUTTI_COMMAND", "")  # the command line `tutti`
CELERY = [sys.executable, "-B", "-m", "celery"]

gc.disable()  # Celery's results clean up in __del__: amid redis-py's own locks they would wait for themselves

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: grandchildren whose parent was killed become ours


def _begin():
    os.setpgid(0, 0)  # a group of its own, to be killed whole
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def wait_for(condition, what, limit=LIMIT):
    """The first true value of condition(); fails after `limit` seconds."""
    end = time.monotonic() + limit
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit:.0f} s in vain for {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


_ports = []  # what keeps them ours


def free_port():
    """A port that stays this script's until it ends, also while nobody listens there: the system gives it to nobody, and
    other scripts see by a name that is taken as long as this process lives."""
    lowest, highest = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [port for port in range(10000, 65536) if not lowest <= port <= highest] or list(range(10000, 65536))
    random.SystemRandom().shuffle(ports)
    for port in ports:
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0tutti-cluster-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _ports.append(name)
        return port
    raise AssertionError("no port is free")


def lines_of(path):
    """The lines of a file that tasks append to."""
    try:
        return pathlib.Path(path).read_text().splitlines()
    except FileNotFoundError:
        return []


def children_of(pid):
    """The processes whose parent is `pid`, zombies left out."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry))
    return found


def descendants_of(pid):
    found = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def hears(pid, number):
    """Whether the process has said what it does on this signal: one that comes before ends it at once."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True  # it has ended
    caught = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")]
    return not caught or bool(caught[0] >> (number - 1) & 1)


def rss_of(pid):
    """KiB that a process and its descendants have in memory."""
    total = 0
    for one in [pid, *descendants_of(pid)]:
        try:
            status = pathlib.Path(f"/proc/{one}/status").read_text()
        except OSError:
            continue
        for line in status.splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


class Child:
    """A program that was started; what it says is in a file."""

    all = []

    def __init__(self, name, command, ours, env=None):
        self.name, self.ours = name, ours
        self.log = Folder.path / f"{len(Child.all):02}-{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                            cwd=Folder.path, env={**os.environ, "PYTHONPATH": str(HERE), **(env or {})},
                                            preexec_fn=_begin)
        self.pid = self.process.pid
        Child.all.append(self)

    def output(self):
        return self.log.read_text(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, limit=LIMIT):
        """Its exit status."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {limit:.0f} s; it said:\n{self.output()[-4000:]}") from None

    def kill(self):
        """kill -9 of the program alone; its children have to notice."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def kill_all(self):
        """kill -9 of the program and all of its children at once."""
        family = descendants_of(self.pid)
        self.kill()
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def terminate(self):
        """Asks it to end as a service manager would, as soon as it has begun."""
        wait_for(lambda: self.process.poll() is not None or hears(self.pid, signal.SIGTERM), f"{self.name} to begin")
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self):
        """Ends it as a service manager would; its exit status."""
        self.terminate()
        return self.wait()

    def end(self):
        """Kills it and all of its group at once."""
        if self.process.poll() is None:  # else the number may be another's
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


class Folder:
    """Where all files of this script are."""

    path = None


class Redis:
    """A server of this test's own. durable: what it has said yes to survives kill -9."""

    def __init__(self, durable=False):
        self.folder = Folder.path / f"redis-{len(Child.all)}"
        self.folder.mkdir()
        self.durable = durable
        self.port = free_port()
        self.start()

    def start(self):
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", "",
                   "--requirepass", PASSWORD, "--daemonize", "no", "--appendonly", "yes" if self.durable else "no",
                   "--appendfsync", "always"]
        self.child = Child("redis", command, ours=False)
        self.client = redis.Redis(port=self.port, password=PASSWORD)
        wait_for(self.answers, "Redis")

    def answers(self):
        if self.child.process.poll() is not None:
            raise AssertionError("Redis ended:\n" + self.child.output())
        try:
            return self.client.ping()
        except redis.exceptions.RedisError:
            return False

    def kill(self):
        self.child.kill()

    def url(self, database=0, port=None):
        return f"redis://:{PASSWORD_IN_URL}@127.0.0.1:{port or self.port}/{database}"


class TuttiWorker(Child):
    """A worker of tutti with the tasks of tutti_tasks.cpp. host: NAME@HOST, as Celery's -n."""

    def __init__(self, broker, queues="cpp", concurrency=2, pool="threads", *extra, name="tutti", env=None, command=None):
        self.hostname = f"{name}@box"
        if command is None:
            command = [PROGRAM, "--tutti-worker", broker]
        if STAND_IN:
            command = [*CELERY, "-A", "twins", "worker", "-l", "INFO", "--without-gossip", "--without-mingle"]
            pool = {"inline": "solo"}.get(pool, "prefork")  # its threads stall for seconds
            env = {**(env or {}), "CLUSTER_BROKER": broker}
        command = [*command, "-Q", queues, "-c", str(concurrency), "-P", pool, "-n", self.hostname, *extra]
        super().__init__("tutti-worker", command, ours=not STAND_IN, env=env)


class CeleryWorker(Child):
    """A worker of Celery with the tasks of python_tasks.py."""

    def __init__(self, broker, queues="py", concurrency=2, pool="prefork", *extra, name="python"):
        self.hostname = f"{name}@box"
        command = [*CELERY, "-A", "python_tasks", "worker", "-l", "INFO", "-Q", queues, "-c", str(concurrency), "-P", pool,
                   "-n", self.hostname, "--without-gossip", "--without-mingle", *extra]
        super().__init__("celery-worker", command, ours=False, env={"CLUSTER_BROKER": broker})


def celery_app(broker):
    """Celery's client of that broker."""
    app = celery.Celery("client", broker=broker, backend=broker, set_as_current=True)
    app.conf.update(broker_connection_retry_on_startup=True, task_default_queue="cpp", result_expires=3600)
    return app


def celery_command(broker, *arguments, limit=LIMIT):
    """Runs a command line of Celery: exit status, what it said."""
    done = subprocess.run([*CELERY, "-b", broker, "--result-backend", broker, *arguments], cwd=Folder.path, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit,
                          preexec_fn=_begin)
    return done.returncode, done.stdout


def tutti_command(*arguments, limit=LIMIT, env=None):
    """Runs the command line of tutti: exit status, what it said. Checks that it told no password."""
    done = subprocess.run([COMMAND, *arguments], cwd=Folder.path, text=True, stdin=subprocess.DEVNULL, timeout=limit,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_begin,
                          env={**os.environ, **(env or {})})
    assert "s3cret" not in done.stdout, f"a password was told by {arguments}:\n{done.stdout}"
    return done.returncode, done.stdout


def ready(app, *workers):
    """Waits until these workers answer."""
    for worker in workers:
        def answers(worker=worker):
            if worker.process.poll() is not None:
                raise AssertionError(f"{worker.name} ended with {worker.process.returncode}:\n{worker.output()[-4000:]}")
            return app.control.ping(destination=[worker.hostname], timeout=2 * FACTOR, limit=1)
        wait_for(answers, lambda: f"{worker.hostname} to answer; it said:\n{worker.output()[-4000:]}")


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    maxDiff = 4000

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=self._testMethodName[:40] + "-", dir=Folder.path))
        self.addCleanup((self.folder / "released").touch)  # what holds a task of this test holds up no other when it fails

    def path(self, name):
        return str(self.folder / name)


def inspect(app, worker, command):
    """What the worker answers to a command of `inspect`; None when it has not in time."""
    return (getattr(app.control.inspect([worker.hostname], timeout=2 * FACTOR, limit=1), command)() or {}).get(worker.hostname)


def stop_all(*workers):
    """Ends workers, all at once; fails when one ends badly."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        status = worker.wait()
        assert status == 0, f"{worker.name} ended with {status}:\n{worker.output()[-4000:]}"


def _end_all():
    for child in Child.all:
        child.end()
    while left := descendants_of(os.getpid()):  # some may be started meanwhile
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.002)


def _end_now(*_):
    """When somebody ends the script: unittest would take an exception for a failure, and go on."""
    _end_all()
    shutil.rmtree(Folder.path, ignore_errors=True)
    os._exit(1)


def main():
    """Runs the tests of the calling script, and looks through all that programs of tutti said."""
    if not STAND_IN:
        for name, path in (("CLUSTER_PROGRAM", PROGRAM), ("CLUSTER_LIBRARY", LIBRARY), ("TUTTI_COMMAND", COMMAND)):
            if not os.path.isfile(path):
                sys.exit(f"{name} must be the path of a program, and is \"{path}\"")
    Folder.path = pathlib.Path(tempfile.mkdtemp(prefix="tutti-cluster-"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_now)
    kept = False
    try:
        result = unittest.main(exit=False, verbosity=2).result
        kept = not result.wasSuccessful()
        told = [child for child in Child.all if child.ours and "s3cret" in child.output()]
        for child in told:
            print(f"{child.name} told the password:", *(l for l in child.output().splitlines() if "s3cret" in l), sep="\n  ")
        sanitizers = [child for child in Child.all if child.ours and any(
            mark in child.output() for mark in SANITIZERS)]
        for child in sanitizers:
            print(f"{child.name}:\n{child.output()[-20000:]}")
        kept = kept or bool(told) or bool(sanitizers)
    finally:
        _end_all()
        if kept:
            for child in Child.all:
                print(f"--- {child.log.name} (exit status {child.process.returncode}), its end:\n{child.output()[-3000:]}")
        shutil.rmtree(Folder.path, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if kept else 0)  # without the last words of Celery's connections to what has ended



def queue_length(redis_, queue):
    """Messages that wait in a queue, of all priorities."""
    return sum(redis_.client.llen(queue + suffix) for suffix in ("", "\x06\x163", "\x06\x166", "\x06\x169"))


def values_of(redis_, results):
    """The values of many results, all of which must be successes. Celery's get() takes a second for each that is there."""
    keys = ["celery-task-meta-" + result.id for result in results]

    def ended():
        kept = [json.loads(text) if text else {"status": "PENDING"} for text in redis_.client.mget(keys)]
        bad = [one for one in kept if one["status"] in ("FAILURE", "REVOKED")]
        if bad:
            raise AssertionError(f"a task has not ended well: {bad[0]}")
        return all(one["status"] == "SUCCESS" for one in kept) and kept
    return [one["result"] for one in wait_for(ended, lambda: f"the results of {len(keys)} tasks")]


def dead_letters(redis_, queue):
    """The headers of what lies in the dead-letter queue."""
    found = []
    for suffix in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
        found += [json.loads(text)["headers"] for text in redis_.client.lrange(queue + ".dead" + suffix, 0, -1)]
    return found
