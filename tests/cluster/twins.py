"""What tutti_tasks.cpp has, in Python: with CLUSTER_STAND_IN=1 Celery runs the tests against itself."""

import os
import signal
import time

from python_tasks import append, wait_for_file
import celery

app = celery.Celery("twins", broker=os.environ.get("CLUSTER_BROKER"), backend=os.environ.get("CLUSTER_BROKER"))
app.conf.update(task_default_queue="cpp", task_acks_late=True, result_expires=3600)
hoard = []


@app.task(name="tasks.add")
def add(a, b):
    return a + b


@app.task(name="tasks.mul")
def mul(a, b):
    return a * b


@app.task(name="tasks.xsum")
def xsum(numbers):
    return sum(numbers)


def echo(value):
    return value


for kind in ("text", "int", "unsigned", "double", "doubles", "table"):
    app._task_from_fun(echo, name="tasks.echo_" + kind)


@app.task(name="tasks.nothing")
def nothing():
    pass


@app.task(name="tasks.join")
def join(texts):
    return "".join(texts)


@app.task(name="tasks.fail")
def fail(text):
    raise ValueError(text)


@app.task(name="tasks.fail_as")
def fail_as(kind, text):
    raise {"out_of_range": IndexError, "runtime_error": RuntimeError, "bad_alloc": MemoryError,
           "strange": type("strange", (Exception,), {})}[kind](text)


@app.task(name="tasks.throw_int")
def throw_int():
    raise Exception("42")


@app.task(name="tasks.nap")
def nap(seconds):
    time.sleep(seconds)


@app.task(name="tasks.work")
def work(path, text, seconds):
    time.sleep(seconds)
    append(path, text)


@app.task(name="tasks.mark")
def mark(path, text):
    append(path, text)


@app.task(name="tasks.note")
def note(value, path):
    append(path, value)


@app.task(name="tasks.hold")
def hold(started, released):
    append(started, "started")
    wait_for_file(released)
    return "released"


@app.task(name="tasks.deaf")
def deaf(started, released):
    append(started, "started")
    wait_for_file(released)
    return "released"


@app.task(name="tasks.flaky", bind=True)
def flaky(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0, max_retries=times, exc=RuntimeError("not yet"))
    return self.request.retries


@app.task(name="tasks.progress", bind=True)
def progress(self, path):
    self.update_state(state="PROGRESS", meta={"done": 1, "of": 2})
    wait_for_file(path)
    return "done"


@app.task(name="tasks.killer")
def killer(path):
    append(path, "killed")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="tasks.killer_once")
def killer_once(path):
    if not os.path.exists(path):
        append(path, "killed")
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@app.task(name="tasks.hog")
def hog(mebibytes):
    hoard.append(bytearray(mebibytes << 20))
    return os.getpid()


@app.task(name="tasks.pid")
def pid():
    return os.getpid()


@app.task(name="tasks.now")
def now():
    return time.time()


@app.task(name="tasks.log_id", bind=True)
def log_id(self, path):
    append(path, self.request.id)


@app.task(name="tasks.header", bind=True)
def header(self, name):
    return self.request.get(name) or ""


@app.task(name="tasks.failed")
def failed(number):
    append("failed.txt", "tasks.failed " + number)
