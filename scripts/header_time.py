#!/usr/bin/env python3
"""How long a header takes to compile: header_time.py [--limit SECONDS] HEADER... -- COMPILER FLAGS...

Prints the best of three compilations of one #include. Beyond the limit, which is for accidents only, it fails.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time


def compile_time(command, header):
    """The seconds that one compilation of a file with only this #include takes."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "one.cpp")
        with open(source, "w", encoding="utf-8") as file:
            file.write(f"#include <{header}>\n")
        start = time.monotonic()
        subprocess.run([*command, "-c", source, "-o", os.path.join(folder, "one.o")], check=True)
        return time.monotonic() - start


def main():
    if "--" not in sys.argv:
        print(__doc__, file=sys.stderr)
        return 2
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=float("inf"))
    parser.add_argument("headers", nargs="+")
    options = parser.parse_args(sys.argv[1:split])
    slow = False
    for header in options.headers:
        seconds = min(compile_time(sys.argv[split + 1:], header) for _ in range(3))
        print(f"#include <{header}>: {seconds:.2f} s")
        slow = slow or seconds > options.limit
    if slow:
        print(f"beyond the limit of {options.limit:g} s")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
