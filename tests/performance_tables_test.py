"""Tests of scripts/performance_tables.py."""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
import performance_tables  # noqa: E402


def row(case, system, value, better="less", threads=2, unit="ns"):
    return {"bench": "b", "case": case, "threads": threads, "system": system, "unit": unit, "better": better,
            "value": value, "min": value, "max": value, "n": 3}


class Tables(unittest.TestCase):
    def test_ratio_to_the_best_peer(self):
        text = performance_tables.table([row("fib", "onetbb", 60), row("fib", "openmp", 30), row("fib", "tutti", 3)])
        self.assertEqual(text.splitlines(), [
            "| case | threads | unit | tutti | onetbb | openmp | against the best peer |",
            "|---|---:|---|---:|---:|---:|---:|",
            "| fib | 2 | ns | 3.00 | 60.0 | 30.0 | 10.00x |"])

    def test_more_is_better(self):
        text = performance_tables.table([row("words", "tutti", 450, "more", unit="MB/s"),
                                         row("words", "python", 90, "more", unit="MB/s")])
        self.assertIn("| words | 2 | MB/s | 450 | 90.0 | 5.00x |", text)

    def test_missing_figures_leave_gaps(self):
        text = performance_tables.table([row("a", "tutti", 0), row("a", "x", 5), row("b", "x", 12345)])
        self.assertIn("| a | 2 | ns | 0 | 5.00 | |", text)
        self.assertIn("| b | 2 | ns |  | 12 345 | |", text)

    def test_only_marked_tables_change(self):
        with tempfile.TemporaryDirectory() as folder:
            results = pathlib.Path(folder)
            (results / "b.json").write_text(json.dumps({"rows": [row("fib", "tutti", 3), row("loop", "tutti", 4)]}))
            page = ("before\n<!-- table b: fib -->\nold\n<!-- end -->\nbetween\n"
                    "<!-- table gone -->\nkept\n<!-- end -->\nafter\n")
            text = performance_tables.rewritten(page, results)
            self.assertIn("before\n<!-- table b: fib -->\n| case", text)
            self.assertIn("| fib | 2 | ns | 3.00 |", text)
            self.assertNotIn("loop", text)
            self.assertNotIn("old", text)
            self.assertIn("between\n<!-- table gone -->\nkept\n<!-- end -->\nafter\n", text)
            self.assertEqual(text, performance_tables.rewritten(text, results))


if __name__ == "__main__":
    unittest.main()
