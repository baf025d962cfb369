#!/usr/bin/env python3
"""Runs a program that must fail, and checks how: ends.py --says PATTERN [--exit CODE] -- COMMAND...

It must end with CODE, or any but 0, in time, and say on either stream what the regular expression PATTERN finds.
"""
import argparse
import re
import subprocess
import sys


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--says", action="append", default=[])
    parser.add_argument("--exit", type=int)
    parser.add_argument("command", nargs="+")
    wanted = parser.parse_args()
    with subprocess.Popen(wanted.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace") as run:
        try:
            text, _ = run.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            run.terminate()  # mpirun ends its ranks
            try:
                text, _ = run.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                run.kill()
                text, _ = run.communicate()
            print(text)
            print("it has not ended by itself")
            return 1
    print(text)
    problems = [f'it does not say "{one}"' for one in wanted.says if not re.search(one, text, re.IGNORECASE)]
    if run.returncode == 0 or (wanted.exit is not None and run.returncode != wanted.exit):
        problems.append(f"it ends with {run.returncode}")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
