#!/usr/bin/env python3
"""Writes the tables of docs/PERFORMANCE.md from bench/results/*.json: performance_tables.py [ROOT].

In the page, what stands between `<!-- table NAME -->` and `<!-- end -->` is replaced by the table of bench/results/NAME.json;
`<!-- table NAME: TEXT -->` takes only the cases that contain TEXT. All other text stays as it is.
"""
import json
import pathlib
import re
import sys

MARK = re.compile(r"(<!-- table (\w+)(?:: ([^>]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def rows_of(path):
    """The rows of a result file: an array of rows, or an object that has it as "rows"."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["rows"] if isinstance(content, dict) else content


def number(value):
    """Three significant digits, with thousands apart."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    magnitude = abs(value)
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3
    return f"{value:,.{digits}f}".replace(",", " ")


def ratio(ours, peer, better):
    """How many times better than the peer we are; below 1 is worse. None where a figure is 0."""
    if not ours or not peer:
        return None
    return peer / ours if better == "less" else ours / peer


def table(rows):
    """A Markdown table: one line per case and thread count, tutti first, the ratio to the best peer last."""
    systems = list(dict.fromkeys(row["system"] for row in rows))
    systems.sort(key=lambda name: name != "tutti")
    lines = {}
    for row in rows:
        lines.setdefault((row["case"], row["threads"], row["unit"]), {})[row["system"]] = row
    text = ["| case | threads | unit | " + " | ".join(systems) + " | against the best peer |",
            "|---|---:|---|" + "---:|" * (len(systems) + 1)]
    for (case, threads, unit), by_system in lines.items():
        better = next(iter(by_system.values()))["better"]
        ours = by_system.get("tutti")
        peers = [row["value"] for name, row in by_system.items() if name != "tutti" and row["value"] is not None]
        best = (min(peers) if better == "less" else max(peers)) if peers else None
        times = ratio(ours["value"], best, better) if ours and best is not None else None
        cells = [number(by_system[name]["value"]) if name in by_system else "" for name in systems]
        text.append(f"| {case} | {threads} | {unit} | " + " | ".join(cells)
                    + (f" | {times:.2f}x |" if times is not None else " | |"))
    return "\n".join(text) + "\n"


def rewritten(page, results):
    """The page with every marked table brought up to date; one whose result file is missing stays."""
    def replace(match):
        path = results / f"{match[2]}.json"
        if not path.exists():
            return match[0]
        rows = [row for row in rows_of(path) if not match[3] or match[3] in row["case"]]
        return match[1] + table(rows) + match[4]

    return MARK.sub(replace, page)


def main(arguments):
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent
    page = root / "docs" / "PERFORMANCE.md"
    if not page.exists():
        print(f"{page} does not exist; no table written", file=sys.stderr)
        return 0
    page.write_text(rewritten(page.read_text(encoding="utf-8"), root / "bench" / "results"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
