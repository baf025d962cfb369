#!/usr/bin/env python3
"""Checks that documentation shows code that works: check_doc_slices.py [ROOT].

Every C++ block of README.md and docs/**/*.md is, but for its indentation, a run of whole lines of a source file that the
build compiles and the tests run: examples/**/*.cpp, *_test.cpp, tests/**/*.cpp, apps/**/*.cpp. Blocks in other languages are free.
"""
import pathlib
import re
import sys

FENCE = re.compile(r"^(?P<indent>[ \t]*(?:>[ \t]*)*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$")
CPP = {"cpp", "c++", "cc", "cxx", "hpp"}


def sources(root):
    """The files a block may come from."""
    patterns = ["examples/**/*.cpp", "tests/**/*.cpp", "apps/**/*.cpp", "tutti/**/*_test.cpp"]
    return sorted({path for pattern in patterns for path in root.glob(pattern)})


def dedent(lines):
    """The lines without the indentation they share, and without trailing blanks."""
    lines = [line.expandtabs(4).rstrip() for line in lines]
    depth = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    return [line[depth:] for line in lines]


def blocks(text):
    """(line number, lines) of every C++ block of a Markdown text; an unclosed one raises ValueError."""
    opened = None
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                words = re.split(r"[\s,{]", fence["info"].strip().lower())
                opened = (number, fence["fence"], words[0] in CPP, [], len(fence["indent"]))
        elif fence and not fence["info"] and fence["fence"].startswith(opened[1]):
            if opened[2]:
                yield opened[0], opened[3]
            opened = None
        else:
            opened[3].append(line[min(opened[4], len(line) - len(line.lstrip(" \t>"))):])
    if opened is not None:
        raise ValueError(f"{opened[0]}: this code block is never closed")


def is_slice(block, file_lines):
    """Whether `block`, already dedented, stands in the file as consecutive lines."""
    for start in range(len(file_lines) - len(block) + 1):
        # Cheap first: the lines must agree without indentation before the shape is compared.
        if all(file_lines[start + i].strip() == line.strip() for i, line in enumerate(block)):
            if dedent(file_lines[start:start + len(block)]) == block:
                return True
    return False


def violations(root):
    """All that is wrong in the documents of ROOT, as sentences."""
    root = pathlib.Path(root)
    code = [path.read_text(encoding="utf-8").splitlines() for path in sources(root)]
    found = []
    for page in [root / "README.md", *sorted(root.glob("docs/**/*.md"))]:
        if not page.exists():
            continue
        name = page.relative_to(root)
        try:
            for number, lines in blocks(page.read_text(encoding="utf-8")):
                block = dedent(lines)
                while block and not block[0]:
                    block.pop(0)
                while block and not block[-1]:
                    block.pop()
                if not block:
                    found.append(f"{name}:{number}: empty code block")
                elif not any(is_slice(block, file_lines) for file_lines in code):
                    found.append(f"{name}:{number}: this code is in no example and no test; it begins: {block[0].strip()}")
        except ValueError as error:
            found.append(f"{name}:{error}")
    return found


def main(arguments):
    root = arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent
    found = violations(root)
    print("\n".join(found) if found else "documents: all C++ blocks are slices of programs that the tests run")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
