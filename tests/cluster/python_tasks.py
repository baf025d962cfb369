"""Tasks in Python, for Celery's workers in the tests."""

import os
import time

import celery

app = celery.Celery("python_tasks", broker=os.environ.get("CLUSTER_BROKER"), backend=os.environ.get("CLUSTER_BROKER"))
app.conf.update(task_default_queue="py", task_acks_late=True, result_expires=3600,
                worker_enable_remote_control=True, broker_connection_max_retries=None)


def append(path, text):
    """Adds a line to a file, in one write."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, (text + "\n").encode())
    os.close(handle)


def wait_for_file(path, limit=120):
    end = time.monotonic() + limit
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise RuntimeError("nobody came")
        time.sleep(0.005)


@app.task(name="py.add")
def add(a, b):
    return a + b


@app.task(name="py.mul")
def mul(a, b):
    return a * b


@app.task(name="py.xsum")
def xsum(numbers):
    return sum(numbers)


@app.task(name="py.echo")
def echo(*args, **kwargs):
    return args[0] if len(args) == 1 and not kwargs else [list(args), kwargs]


class Strange(Exception):
    """A class of this program's own."""


@app.task(name="py.fail")
def fail(kind, text):
    raise {"ValueError": ValueError, "KeyError": KeyError, "IndexError": IndexError, "RuntimeError": RuntimeError,
           "TypeError": TypeError, "Strange": Strange, "MemoryError": MemoryError}[kind](text)


@app.task(name="py.mark")
def mark(path, text):
    append(path, text)


@app.task(name="py.note")
def note(value, path):
    """Notes what a task before it gave, or the id of the one that failed."""
    append(path, str(value))


@app.task(name="py.flaky", bind=True)
def flaky(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0, max_retries=times, exc=RuntimeError("not yet"))
    return self.request.retries


@app.task(name="py.progress", bind=True)
def progress(self, path):
    self.update_state(state="PROGRESS", meta={"done": 1, "of": 2})
    wait_for_file(path)
    return "done"


@app.task(name="py.hold")
def hold(path):
    wait_for_file(path)
    return "released"


@app.task(name="py.nap")
def nap(seconds):
    time.sleep(seconds)


@app.task(name="py.now")
def now():
    return time.time()


@app.task(name="py.log_id", bind=True)
def log_id(self, path):
    append(path, self.request.id)


@app.task(name="py.failed")
def failed(number):
    append("failed.txt", "py.failed " + number)
