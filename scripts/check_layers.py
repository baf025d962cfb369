#!/usr/bin/env python3
"""Checks who includes whom, and defines what for whom, below tutti/: check_layers.py [ROOT].

A module includes only modules of the layers below its own, and none beside it; what it includes it also names in its
tutti_module(... DEPENDS ...). Headers stay light: the heavy libraries are included in .cpp files only. What a header declares
for all, a .cpp file of the library defines for all: never as `inline`, which leaves no symbol where every call is inlined.
"""
import pathlib
import re
import sys

# Lowest first. Modules of one layer do not include each other.
LAYERS = [
    {"base"},
    {"core"},
    {"parallel", "task"},
    {"sync", "channel"},
    {"process", "io", "mpi"},
    {"cluster", "remote"},
]
# These stand beside the layers: what each may include, itself apart.
BESIDE = {
    "data": {"base", "core", "channel"},
    "reactive": {"base", "core", "channel"},
    "array": {"base", "core", "channel"},
    "trace": {"base", "core"},
    "check": {"base", "core"},
}
# Headers of concrete pools, which data, reactive and array never name: they are written against executor&.
POOLS = {"tutti/core/thread_pool.hpp", "tutti/core/inline_executor.hpp"}
POOL_FREE = {"data", "reactive", "array"}
# Included in .cpp files only: each costs every user of a header that has it.
HEAVY = re.compile(
    r"^(boost/(asio|beast|json)\b|(mpi|sqlite3|amqp)\.h$|(hiredis|CL|spdlog|CLI|openssl|rabbitmq-c)/)")

# The folder of a module's headers that only .cpp files include, its own; those may include heavy ones.
INSIDE = "inside"

# A function defined `inline`, which no .cpp file needs: what only it uses is in its unnamed namespace.
INLINE = re.compile(r"^[ \t]*(?:\w+[ \t]+)*inline[ \t]+(?!namespace\b)[^;={}]*\(", re.MULTILINE)
NOT_LIBRARY = re.compile(r"_(test|testlib|fuzz|nocompile)\.cpp$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
DEPENDS = re.compile(r"tutti_module\(\s*(\w+)(.*?)\)", re.DOTALL)
KEYWORDS = {"LINK_PUBLIC", "LINK_PRIVATE", "PACKAGES", "TEST_LINK"}


def allowed_below(module):
    """The modules that `module` may include, or None when it has no place in the layers."""
    if module in BESIDE:
        return BESIDE[module]
    for index, layer in enumerate(LAYERS):
        if module in layer:
            return set().union(*LAYERS[:index])
    return None


def declared_depends(root):
    """What each module can reach through its DEPENDS, itself included."""
    direct = {}
    for lists in root.glob("tutti/*/CMakeLists.txt"):
        for name, rest in DEPENDS.findall(lists.read_text(encoding="utf-8")):
            words = rest.split()
            start = words.index("DEPENDS") + 1 if "DEPENDS" in words else len(words)
            end = next((i for i in range(start, len(words)) if words[i] in KEYWORDS), len(words))
            direct[name] = words[start:end]

    def reach(name, seen):
        if name not in seen:
            seen.add(name)
            for below in direct.get(name, []):
                reach(below, seen)
        return seen

    return {name: reach(name, set()) for name in direct}


def check_file(path, name, module, reachable):
    """What is wrong with one file: sentences that begin with its place."""
    text = path.read_text(encoding="utf-8", errors="replace")
    allowed = allowed_below(module)
    if path.suffix == ".cpp" and not NOT_LIBRARY.search(path.name):
        for match in INLINE.finditer(text):
            place = f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
            yield f"{place}: an inline function in a .cpp file: other files may find no symbol for it; leave `inline` out"
    for match in INCLUDE.finditer(text):
        quote, target = match.groups()
        place = f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
        if quote == '"':
            yield f'{place}: "{target}": write project headers as <tutti/...> and all others in <> too'
        parts = target.split("/")
        if path.suffix == ".hpp" and INSIDE not in str(name).split("/"):
            if HEAVY.match(target):
                yield f"{place}: <{target}> in a header: include it in a .cpp file, or in a header in {INSIDE}/"
            if INSIDE in parts:
                yield f"{place}: <{target}> in a header: what is in {INSIDE}/ is for .cpp files"
        if len(parts) < 2 or parts[0] != "tutti":
            continue
        if len(parts) == 2:
            yield f"{place}: <{target}> includes every module: include what is used"
            continue
        other = parts[1]
        if other == module:
            continue
        if INSIDE in parts:
            yield f"{place}: {module} includes <{target}>, which is {other}'s own"
        if other not in allowed:
            beside = any({module, other} <= layer for layer in LAYERS)
            why = "stands beside it in its layer" if beside else "is not below it"
            yield f"{place}: {module} includes <{target}>, but {other} {why}"
        elif other not in reachable:
            yield f"{place}: {module} includes <{target}>, but its tutti_module() does not DEPEND on {other}"
        if module in POOL_FREE and target in POOLS:
            yield f"{place}: {module} names a concrete pool, <{target}>: use executor&"


def violations(root):
    """All that is wrong below ROOT/tutti, as sentences."""
    root = pathlib.Path(root)
    reach = declared_depends(root)
    found = []
    for folder in sorted(path for path in (root / "tutti").iterdir() if path.is_dir()):
        module = folder.name
        if allowed_below(module) is None:
            found.append(f"tutti/{module}: no layer; give it one in scripts/check_layers.py and docs/ARCHITECTURE.md")
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".hpp", ".cpp"}:
                found.extend(check_file(path, path.relative_to(root), module, reach.get(module, {module})))
    return found


def main(arguments):
    root = arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent
    found = violations(root)
    print("\n".join(found) if found else "layers: all includes go downwards")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
