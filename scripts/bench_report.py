#!/usr/bin/env python3
"""Writes the tables of docs/PERFORMANCE.md from bench/results/*.json.

A table stands between <!-- bench:NAME --> and <!-- /bench:NAME -->; NAME is a benchmark, `goals` or `machine`. Text
outside the markers is yours. A result file without markers in the document gets a section at the end. --check changes
nothing and fails when the document does not show the results.
"""

import argparse
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORDER = ["fork_join", "parallel_for", "reduce", "scan", "sort", "pipeline", "submit", "idle", "wordcount", "task", "sync", "channel",
         "process_pool", "mpi", "cluster", "echo", "http", "crawl"]

# Systems that are a yardstick, not a competitor.
REFERENCE = re.compile(r"\((floor|ideal|spins)\)$|^serial$|serial runs?$|^tutti, |^C, ")

SKELETON = """# Performance

What tutti does beside its peers: every peer with its best interface and settings, all in one run, taking turns. Every
figure is a median; brackets hold the smallest and the largest. Loops and reductions meet their goals by their best
repetitions: what disturbs one on a shared machine only adds time. `make bench` measures again and rewrites the tables
below; [bench/README.md](../bench/README.md) says how each figure is taken.

<!-- bench:machine -->
<!-- /bench:machine -->

## Goals

<!-- bench:goals -->
<!-- /bench:goals -->
"""


# --- rows ---------------------------------------------------------------------------------------------------------


def load(folder):
    """All result files by benchmark: {name: {"rows": [...], "machine": ...}}."""
    results = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, list):  # bare rows
            data = {"rows": data}
        for row in data["rows"]:
            results.setdefault(row["bench"], {**data, "rows": []})["rows"].append(row)
    return results


def cases(rows):
    """Rows grouped by (case, threads), in the order of the file: [((case, threads), {system: row})]."""
    grouped = {}
    for row in rows:
        if row["value"] is not None:
            grouped.setdefault((row["case"], row["threads"]), {})[row["system"]] = row
    return list(grouped.items())


def advantage(ours, other):
    """How many times better `ours` is than `other`; None where nothing can be said (zero)."""
    if ours["better"] == "less":
        return other["value"] / ours["value"] if ours["value"] > 0 else None
    return ours["value"] / other["value"] if other["value"] > 0 else None


def peers(systems):
    return [row for name, row in systems.items() if name != "tutti" and not REFERENCE.search(name)]


def best(rows):
    return min(rows, key=lambda r: r["value"] if r["better"] == "less" else -r["value"], default=None)


# --- text ---------------------------------------------------------------------------------------------------------


def best_repetition(row):
    """The row with its best repetition in place of the median. On a shared machine a disturbance only adds time, so this
    compares closely matched systems better, above all with the best of ten."""
    return {**row, "value": row["min"] if row["better"] == "less" else row["max"]}


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def times(ratio):
    return "-" if ratio is None else (f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.3g}x")


def spread(row):
    return f"{number(row['value'])} [{number(row['min'])} – {number(row['max'])}]"


def table(head, lines):
    align = ["---"] + ["---:" if h.startswith(">") else "---" for h in head[1:]]
    head = [h.lstrip(">") for h in head]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, align, *lines])


def bench_table(rows):
    lines = []
    for (case, threads), systems in cases(rows):
        ours = systems.get("tutti")
        rival = best(peers(systems))
        any_row = next(iter(systems.values()))
        others = [
            f"{name} {number(row['value'])}"
            for name, row in sorted(systems.items(), key=lambda s: s[1]["value"], reverse=any_row["better"] == "more")
            if name != "tutti" and row is not rival
        ]
        lines.append([
            case,
            str(threads),
            any_row["unit"],
            spread(ours) if ours else "-",
            f"{rival['system']} {spread(rival)}" if rival else "-",
            times(advantage(ours, rival)) if ours and rival else "-",
            ", ".join(others) or "-",
        ])
    return table(["case", ">threads", "unit", ">tutti", ">best peer", ">tutti is better by", "others"], lines)


def machine(results):
    lines = []
    for name in sorted(results, key=rank):
        data = results[name]
        what = [f"{data.get('machine', 'unknown cpu')}, {data.get('cpus', '?')} cpus, {data.get('kernel', '')}",
                data.get("compiler", ""), data.get("date", "")]
        if data.get("quick"):
            what.append("**--quick: a smoke run, not a measurement**")
        if data.get("disturbed"):
            what.append(f"{data['disturbed']} case(s) beside other load")
        lines.append([f"`{name}`", *what[:3], "; ".join(what[3:]) or "-"])
    return table(["benchmark", "machine", "compiler", "measured", "remarks"], lines)


# --- goals --------------------------------------------------------------------------------------------------------


class Goal:
    """A limit for all rows of a benchmark whose case matches: on tutti's value, or on its ratio to other systems."""

    def __init__(self, text, bench, case, limit, *, kind="value", against=None, threads=None, where=None,
                 repetition="median"):
        self.text, self.bench, self.case, self.limit = text, bench, re.compile(case), limit
        self.kind, self.against, self.threads, self.where = kind, against, threads, where
        self.repetition = repetition

    def measured(self, results):
        """[(figure, case, threads)] of all matching rows."""
        found = []
        for (case, threads), systems in cases(results.get(self.bench, {"rows": []})["rows"]):
            if self.repetition == "best":
                systems = {name: best_repetition(row) for name, row in systems.items()}
            ours = systems.get("tutti")
            if ours is None or not self.case.search(case) or (self.threads and threads not in self.threads):
                continue
            if self.where and not self.where(systems):
                continue
            if self.kind in ("value", "rate"):  # of a rate, more is better
                found.append((ours["value"], case, threads))
                continue
            if self.against:
                rivals = [row for name, row in systems.items() if re.search(self.against, name)]
            else:
                rivals = peers(systems)
            rival = best(rivals)
            ratio = advantage(ours, rival) if rival else None
            if ratio is not None:  # `cost` says how much more than the reference, `times` how much better than the rival
                found.append((1 / ratio if self.kind == "cost" else ratio, case, threads))
        return found

    def line(self, results):
        found = self.measured(results)
        more = self.kind in ("times", "rate")
        ratio = self.kind in ("times", "cost")
        limit = f"{'>=' if more else '<='} {self.limit:g}{'x' if ratio else ''}"
        if not found:
            return [self.text, limit, "not measured", "-"]
        figure, case, threads = (min if more else max)(found)
        met = [f for f, *_ in found if (f >= self.limit if more else f <= self.limit)]
        shown = times(figure) if ratio else number(figure)
        detail = f"{shown} ({case}, {threads} thread{'s' if threads != 1 else ''})"
        if len(found) > 1:
            detail = f"worst {detail}; {len(met)} of {len(found)} cases within"
        return [self.text, limit, detail, "yes" if len(met) == len(found) else "**no**"]


class AsGoodAs(Goal):
    """tutti's median is within 2 % of the other system's, or within what that one's own repetitions spread."""

    def __init__(self, text, bench, case, against):
        super().__init__(text, bench, case, 1.02, kind="cost", against=against)

    def line(self, results):
        found = []
        for (case, threads), systems in cases(results.get(self.bench, {"rows": []})["rows"]):
            ours, other = systems.get("tutti"), systems.get(self.against)
            ratio = advantage(ours, other) if ours and other and self.case.search(case) else None
            if ratio is None:
                continue
            spread_to = max(other["max"] / other["value"], other["value"] / other["min"]) if other["min"] > 0 else 1
            found.append((1 / ratio, case, 1 / ratio <= max(self.limit, spread_to)))
        limit = f"<= {self.limit:g}x, or its spread"
        if not found:
            return [self.text, limit, "not measured", "-"]
        figure, case, _ = max(found)
        met = sum(is_met for *_, is_met in found)
        detail = f"worst {times(figure)} ({case}); {met} of {len(found)} cases within"
        return [self.text, limit, detail, "yes" if met == len(found) else "**no**"]


def serial_us(low, high):
    """Selects loops that take this long serially, in microseconds."""
    return lambda systems: "serial" in systems and low <= systems["serial"]["value"] < high


GOALS = [
    Goal("fib(38), core-ns per call", "fork_join", r"^fib\(38\)", 3),
    Goal("fib(38) against oneTBB", "fork_join", r"^fib\(38\)", 18, kind="times", against="^oneTBB"),
    Goal("N leaves of 10 ms on N workers against one leaf", "fork_join", "^tree", 1.1, kind="cost", against="ideal"),
    Goal("skynet 10^8 against oneTBB", "fork_join", r"^skynet 10\^8$", 4, kind="times", against="^oneTBB"),
    Goal("skynet 10^8, MiB per worker", "fork_join", r"^skynet 10\^8, memory", 1),
    Goal("loop of 20 us against a serial one", "parallel_for", "^20 us loop", 0.95, kind="times", against="^serial$",
         repetition="best"),
    Goal("loops of 1 ms and more against the best peer, best repetitions", "parallel_for", "", 0.97, kind="times",
         where=serial_us(1e3, 1e12), repetition="best"),
    Goal("loops below 1 ms against the best peer, best repetitions", "parallel_for", "", 0.9, kind="times",
         where=serial_us(0, 1e3), repetition="best"),
    Goal("reductions of 1 ms and more against the best peer, best repetitions", "reduce", "", 0.97, kind="times",
         where=serial_us(1e3, 1e12), repetition="best"),
    Goal("reductions below 1 ms against the best peer, best repetitions", "reduce", "", 0.9, kind="times",
         where=serial_us(0, 1e3), repetition="best"),
    Goal("scans of 1 ms and more against the best peer, best repetitions", "scan", "", 0.97, kind="times",
         where=serial_us(1e3, 1e12), repetition="best"),
    Goal("scans below 1 ms against the best peer, best repetitions", "scan", "", 0.9, kind="times",
         where=serial_us(0, 1e3), repetition="best"),
    Goal("sorts against the best peer, best repetitions", "sort", "", 1, kind="times", repetition="best"),
    Goal("pipelines against the best peer, best repetitions", "pipeline", "", 1, kind="times", repetition="best"),
    Goal("`post`, ns per empty task", "submit", "^post", 80),
    Goal("`submit` with a future, ns per empty task", "submit", "^submit with a future", 150),
    Goal("`submit_bulk`, ns per empty task", "submit", "^submit in bulk", 20),
    Goal("submit and get, hot, us", "submit", "^round trip hot, across cores, p50", 1),
    Goal("submit and get, parked, against a futex round trip", "submit", "^round trip parked.*p50", 1.2, kind="cost",
         against="^futex"),
    Goal("recording tasks of 1 us, per cent", "trace", r"^tasks of 1 us", 3),
    Goal("spawn and await a coroutine task against asyncio", "task", "^spawn and await", 10, kind="times",
         against="^asyncio"),
    Goal("coroutine tasks against Asio awaitables", "task", "^(spawn|await|switch|when_all)", 1, kind="times",
         against="^asio"),
    Goal("mutex, uncontended, against std::mutex", "sync", "^mutex, uncontended", 1.1, kind="cost",
         against="^std::mutex"),
    Goal("channels between threads against the best peer that blocks", "channel", r"^\d:\d (threads|ends)", 1,
         kind="times"),
    Goal("channel with an end for each of two threads, million/s", "channel", "^1:1 ends, (capacity 1024|room)", 50,
         kind="rate"),
    Goal("process_pool, the first result of a program's first pool, ms", "process_pool", "^a program's first.*result", 30),
    Goal("process_pool, submit and get, hot, us", "process_pool", "^round trip hot.*p50", 3),
    Goal("process_pool, submit and get, parked, against a futex round trip", "process_pool", "^round trip parked.*p50", 1.2,
         kind="cost", against="^futex"),
    Goal("process_pool, empty tasks per second, each with a future, against ProcessPoolExecutor", "process_pool",
         "^(submit with a future|map, a task)", 20, kind="times", against="^ProcessPoolExecutor"),
    Goal("process_pool, 100 MB there and back, against ProcessPoolExecutor", "process_pool", "^100 MB .* by value", 5,
         kind="times", against="^ProcessPoolExecutor"),
    Goal("process_pool, from a call that kills its worker to its error, ms", "process_pool", "^a call kills .*until its error", 100),
    Goal("process_pool, 100 MB there and back by handle, ms", "process_pool", "^100 MB .* by handle", 1),
    AsGoodAs("mpi, messages and collectives against the same calls in C", "mpi", "^(a message|bcast|allreduce|alltoall|10.5 structs)", "C"),
    Goal("mpi, objects against mpi4py", "mpi", "^objects", 1.5, kind="times", against="^mpi4py$"),
    Goal("rank_pool, empty tasks per second against mpi4py.futures", "mpi", "^rank_pool: (submit with|map, a task)", 20,
         kind="times", against=r"^mpi4py\.futures"),
    Goal("cluster, tasks per second with their results, as a group, against Celery's prefork", "cluster",
         r"^10\^4 tasks as a group, with", 20, kind="times", against="^Celery prefork"),
    Goal("cluster, there and back, us", "cluster", "^there and back, p50", 300),
    Goal("echo, 64 B, messages per second against Asio's coroutines, best repetitions", "echo", "^50 .* 64 B.*messages", 0.97,
         kind="times", against="^asio$", repetition="best"),
    Goal("echo, 64 B, messages per second against asyncio's streams", "echo", "^50 .* 64 B.*messages", 2, kind="times",
         against="^asyncio streams"),
    Goal("echo, 64 B, p99 against Asio's coroutines, best repetitions", "echo", "^50 .* 64 B.*p99", 1, kind="times",
         against="^asio$", repetition="best"),
    Goal("http, requests per second against Beast, best repetitions", "http", "requests", 1, kind="times",
         against="^Beast", repetition="best"),
    Goal("wake-ups of an idle pool per second", "idle", "^wake-ups", 0),
    Goal("memory growth over 10^7 tasks, KiB", "idle", r"^memory growth over 10\^7", 512),
    Goal("word count against Python's mp.Pool", "wordcount", "", 10, kind="times", against="^Python"),
    Goal("word count against independent serial runs", "wordcount", "", 0.9, kind="times", against="independent serial"),
]


def goals(results):
    return table(["goal", "limit", "measured", "met"], [g.line(results) for g in GOALS])


# --- the document -------------------------------------------------------------------------------------------------


def rank(name):
    return (ORDER.index(name), "") if name in ORDER else (len(ORDER), name)


def fill(document, name, text):
    """Puts `text` between the markers of `name`, which are appended as a section when missing."""
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    if start not in document:
        document = document.rstrip("\n") + f"\n\n## {name}\n\n{start}\n{end}\n"
    before, rest = document.split(start, 1)
    if end not in rest:
        sys.exit(f"bench_report: {start} has no {end}")
    return before + start + "\n" + text + "\n" + end + rest.split(end, 1)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench/results", help="folder of the JSON files")
    parser.add_argument("--document", type=pathlib.Path, default=ROOT / "docs/PERFORMANCE.md")
    parser.add_argument("--check", action="store_true", help="only tell whether the document shows the results")
    args = parser.parse_args()

    results = load(args.results)
    if not results:
        sys.exit(f"bench_report: no results in {args.results}; run `make bench` first")
    old = args.document.read_text(encoding="utf-8") if args.document.exists() else ""
    new = old or SKELETON
    new = fill(new, "machine", machine(results))
    new = fill(new, "goals", goals(results))
    for name in sorted(results, key=rank):
        new = fill(new, name, bench_table(results[name]["rows"]))
    if args.check:
        if new != old:
            sys.exit(f"bench_report: {args.document} does not show {args.results}; run scripts/bench_report.py")
        return
    args.document.parent.mkdir(parents=True, exist_ok=True)
    args.document.write_text(new, encoding="utf-8")
    print(f"bench_report: wrote {args.document}")


if __name__ == "__main__":
    main()
