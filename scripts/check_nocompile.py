#!/usr/bin/env python3
"""Checks code that must not compile: check_nocompile.py FILE -- COMPILER FLAGS...

FILE compiles as it is. Each mistake in it stands in a block of its own, with a part of the message the compiler must give:

    #ifdef FAIL_by_reference  // expect: a portable function takes no T&
    ...
    #endif
"""
import re
import subprocess
import sys

CASE = re.compile(r"^\s*#\s*ifdef\s+(FAIL_\w+)\s*(?://\s*expect:\s*(.*\S))?", re.MULTILINE)


def compile_file(command, source, define=None):
    """The exit status and messages of the compiler."""
    extra = [f"-D{define}"] if define else []
    run = subprocess.run([*command, "-fsyntax-only", *extra, source], capture_output=True, text=True, check=False)
    return run.returncode, run.stderr


def problems(command, source):
    """What is wrong with FILE: a list of sentences."""
    with open(source, encoding="utf-8") as file:
        cases = CASE.findall(file.read())
    if not cases:
        return [f"{source}: no case found; write `#ifdef FAIL_name  // expect: message`"]
    found = []
    status, messages = compile_file(command, source)
    if status != 0:
        found.append(f"{source}: must compile without any FAIL_ macro, but:\n{messages}")
    for name, expected in cases:
        if not expected:
            found.append(f"{source}: {name} does not say which message it expects")
            continue
        status, messages = compile_file(command, source, name)
        if status == 0:
            found.append(f"{source}: {name} compiles, but must not")
        elif expected not in messages:
            found.append(f'{source}: {name} fails without saying "{expected}", but with:\n{messages[:2000]}')
        else:
            print(f"{name}: rejected as it must be")
    return found


def main(arguments):
    if len(arguments) < 3 or arguments[1] != "--":
        print(__doc__, file=sys.stderr)
        return 2
    found = problems(arguments[2:], arguments[0])
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
