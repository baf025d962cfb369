"""The tasks of the `cluster` benchmark as a Celery app, for workers and clients; the settings are the best that Celery's own
guides name: late acknowledgement off, no events, no rate limits, JSON, sockets kept open.

As a program it is a worker: celery_tasks.py BROKER QUEUE PREFETCH ARGUMENT..., the arguments being those of `celery worker`.
"""

import sys
import time
import warnings

import celery.apps.worker
from celery import Celery


def make_app(url, queue, prefetch=4):
    app = Celery("tutti_bench", broker=url, backend=url, set_as_current=True)
    app.conf.update(
        task_default_queue=queue,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_acks_late=False,
        task_send_sent_event=False,
        task_track_started=False,
        worker_send_task_events=False,
        worker_disable_rate_limits=True,
        worker_prefetch_multiplier=prefetch,
        worker_hijack_root_logger=False,
        broker_pool_limit=10,
        broker_connection_retry_on_startup=True,
        redis_socket_keepalive=True,
        worker_enable_remote_control=False,
    )

    @app.task(name="bench.nothing")
    def nothing():
        return None

    @app.task(name="bench.quiet", ignore_result=True)
    def quiet():
        return None

    @app.task(name="bench.add")
    def add(a, b):
        return a + b

    @app.task(name="bench.echo")
    def echo(text):
        return text

    @app.task(name="bench.now")
    def now():
        return time.time()

    app.bench = {"nothing": nothing, "quiet": quiet, "add": add, "echo": echo, "now": now}
    return app


def main():
    celery.apps.worker.safe_say = lambda *_: None  # no farewell
    url, queue, prefetch = sys.argv[1:4]
    warnings.simplefilter("ignore")  # that it runs as root
    app = make_app(url, queue, int(prefetch))
    app.worker_main(["worker", *sys.argv[4:]])


if __name__ == "__main__":
    main()
