#!/usr/bin/env python3
"""Finds co_await and co_yield expressions that g++ 12 compiles wrongly: check_coawait.py [FILE | FOLDER]...

Run it on your code: C++ files, or folders with such files at any depth; without arguments, on all of this project.

g++ 12 destroys some temporaries of an expression with co_await or co_yield in it twice: lambdas that capture by value, and
aggregates. So in such an expression there is

  - no lambda with a by-value capture:     co_await pool.submit([s] { ... });   write   auto f = pool.submit([s] { ... });
                                                                                       co_await std::move(f);
  - no braced temporary:                   co_await send(order{1, "x"});        write   order o{1, "x"}; co_await send(o);
  - no `?:` between calls:                 co_await (x ? f() : g());            write   auto t = x ? f() : g();
                                                                                       co_await std::move(t);

It also lays out the frame of a lazily started coroutine wrongly, so that its body never runs (PR 106188), when a co_await
stands in the condition of an if, while, for or switch and no variable is declared anywhere in the body. So

  - no condition with co_await without a local variable:  if (co_await f()) g();   write   const bool ok = co_await f();
                                                                                          if (ok) g();

Fine are [&] and [this], option structs ({.name = "x"}, call_options{...}: they have trivial destructors, which the library
asserts), chrono durations, and T{} of the names in TRIVIAL. A line with the comment `coawait-ok: reason` is passed over.
"""
import pathlib
import re
import sys

SUFFIXES = {".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx", ".h", ".ipp"}
NO_SOURCES = re.compile(r"^\.|^build([-_.]|$)")  # folders that are passed over
TOKEN = re.compile(
    r'R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"'  # raw string
    r'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''  # string, character
    r"|//[^\n]*|/\*.*?\*/"  # comments
    r"|[A-Za-z_]\w*|\d(?:'?[\w.])*|->|::|&&|\[\[|\]\]|[^\s\w]",
    re.DOTALL)
OPEN, CLOSE = {"(": ")", "[": "]", "{": "}", "[[": "]]"}, {")", "]", "}", "]]"}
# Types whose braced temporaries have trivial destructors.
TRIVIAL = re.compile(r"(_options|_view|_tag)$|^(hours|minutes|seconds|milliseconds|microseconds|nanoseconds|place|monostate)$")
# After these words `[` begins a lambda, not a subscript.
EXPRESSION_WORDS = {"return", "co_return", "co_yield", "co_await", "throw", "case", "else", "do"}
# What g++ 12 splits expressions at.
SUSPENDING = {"co_await", "co_yield"}
CONDITIONS = {"if", "while", "for", "switch"}
# Words that begin a statement that declares no variable of the frame.
NO_TYPE = EXPRESSION_WORDS | CONDITIONS | {"using", "typedef", "static", "thread_local", "delete", "goto", "new", "try", "break",
                                           "continue", "default", "struct", "class", "enum", "template", "public",
                                           "private", "namespace", "friend", "explicit", "catch"}


class Text:
    """The tokens of one file, with their lines and matching brackets."""

    def __init__(self, text):
        self.tokens, self.lines, self.excused = [], [], set()
        line, position = 1, 0
        for match in TOKEN.finditer(text):
            line += text.count("\n", position, match.start())
            position = match.start()
            token = match.group()
            if token.startswith(("//", "/*")):
                if "coawait-ok:" in token:
                    self.excused.add(line)
                continue
            if token.startswith(("'", '"', 'R"')):
                token = '""'
            self.tokens.append(token)
            self.lines.append(line)
        self.match = self.brackets()

    def brackets(self):
        """The partner of each bracket. A `]]` that closes two subscripts rather than an attribute becomes two tokens."""
        match, stack = {}, []
        index = 0
        while index < len(self.tokens):
            token = self.tokens[index]
            if token == "]]" and not (stack and self.tokens[stack[-1]] == "[["):
                self.tokens[index:index + 1] = ["]", "]"]
                self.lines.insert(index, self.lines[index])
                token = "]"
            if token in OPEN:
                stack.append(index)
            elif token in CLOSE and stack:
                # Unbalanced text (macros, #if branches): drop what does not fit.
                while stack and OPEN[self.tokens[stack[-1]]] != token:
                    stack.pop()
                if stack:
                    match[stack[-1]] = index
                    match[index] = stack.pop()
            index += 1
        return match


def is_word(token):
    return token[0].isalpha() or token[0] == "_"


def is_lambda(text, index):
    """Whether the `[` at `index` begins a lambda."""
    if text.tokens[index] != "[" or index not in text.match:
        return False
    before = text.tokens[index - 1] if index else ";"
    if before in EXPRESSION_WORDS:
        return True
    return not (is_word(before) or before in {")", "]", '""', "}"})


def lambda_body(text, index):
    """The index of the `{` of the lambda that begins at `index`, or None."""
    position = text.match[index] + 1
    if position < len(text.tokens) and text.tokens[position] == "<":
        depth = 0
        while position < len(text.tokens):
            depth += {"<": 1, ">": -1}.get(text.tokens[position], 0)
            position += 1
            if depth == 0:
                break
    while position < len(text.tokens) and text.tokens[position] not in {"{", ";", ",", ")"}:
        position = text.match.get(position, position) + 1
    return position if position < len(text.tokens) and text.tokens[position] == "{" else None


def by_value_captures(text, index):
    """The captures by value of the lambda that begins at `index`."""
    captures, current, position = [], [], index + 1
    while position < text.match[index]:
        token = text.tokens[position]
        if token == ",":
            captures.append(current)
            current = []
            position += 1
            continue
        end = text.match[position] if token in OPEN and position in text.match else position
        current.extend(text.tokens[position:end + 1])
        position = end + 1
    captures.append(current)
    return [" ".join(capture) for capture in captures if capture and capture[0] != "&" and capture != ["this"]]


def expression_start(text, index):
    """The first token of the full expression that the token at `index` belongs to."""
    position = index - 1
    while position >= 0:
        token = text.tokens[position]
        if token in {";", "{", ":"} and not (token == ":" and in_ternary_or_for(text, position)):
            break
        if token == "}":
            after = text.tokens[position + 1]
            # `}` ends a statement unless the expression visibly goes on behind it.
            if position not in text.match or is_word(after) or after in {"(", "[", "{", "}", "*", "&", "++", "--", "~", "!"}:
                if not (after == "(" and position in text.match):  # an invoked lambda: [..]{..}(..)
                    break
            position = text.match[position]
        elif token in {")", "]", "]]"}:
            if token == ")" and position in text.match and ends_condition(text, text.match[position], position, index):
                break
            position = text.match.get(position, position)
        position -= 1
    return position + 1


def in_ternary_or_for(text, position):
    """Whether the `:` at `position` stands in a?b:c rather than behind a label or in a range-for."""
    while position > 0:
        position -= 1
        if text.tokens[position] == "?":
            return True
        if text.tokens[position] in {";", "{"}:
            return False
        if text.tokens[position] in CLOSE:
            position = text.match.get(position, position)
    return False


def ends_condition(text, opening, closing, index):
    """Whether these parentheses are the head of an if, while, for or switch whose statement `index` stands in."""
    word = opening - 1
    if word >= 0 and text.tokens[word] == "constexpr":
        word -= 1
    return closing < index and word >= 0 and text.tokens[word] in {"if", "while", "for", "switch"}


def problems_between(text, start, end):
    """Traps among the tokens [start, end), bodies of lambdas left out."""
    position = start
    while position < end:
        token = text.tokens[position]
        if is_lambda(text, position):
            for capture in by_value_captures(text, position):
                yield text.lines[position], f"lambda that captures `{capture}` by value"
            body = lambda_body(text, position)
            position = text.match[position] if body is None else text.match.get(body, body)
        elif token == "{" and position in text.match:
            before = text.tokens[position - 1]
            inside = text.tokens[position + 1:position + 3]
            options = before in {"(", ","} and inside[:1] == ["."]
            if not options and not (is_word(before) and TRIVIAL.search(before)):
                name = before if is_word(before) and before not in EXPRESSION_WORDS else ""
                yield text.lines[position], f"braced temporary `{name}{{...}}`"
            position += 1
            continue
        position += 1


def problem_branches(text, start, end):
    """The `?` among the tokens [start, end), bodies of lambdas left out, between branches that make something."""
    position = start
    while position < end:
        if is_lambda(text, position):
            body = lambda_body(text, position)
            position = text.match[position] if body is None else text.match.get(body, body)
        elif text.tokens[position] == "?":
            branch = position + 1
            while branch < end and text.tokens[branch] not in {";", ","} | set(CLOSE):
                opens = text.tokens[branch] in OPEN and text.tokens[branch] != "["
                before = text.tokens[branch - 1]
                if opens and (text.tokens[branch] == "{" or is_word(before) or before in {">", ")", "]", "}"}):
                    yield text.lines[position], "`?:` with a call in a branch"
                    break
                branch = text.match.get(branch, branch) + 1
        position += 1


def is_declaration(text, position):
    """Whether a variable is declared by the statement that begins at `position`."""
    tokens, end = text.tokens, len(text.tokens)
    while position < end and tokens[position] in {"const", "constexpr", "unsigned", "signed", "[["}:
        position = text.match.get(position, position) + 1
    if position >= end or not is_word(tokens[position]) or tokens[position] in NO_TYPE:
        return False
    position += 1
    while position < end and tokens[position] in {"::", "<"}:
        depth = 1 if tokens[position] == "<" else 0
        position += 1
        while depth and position < end and tokens[position] not in {";", "{"}:
            depth += {"<": 1, ">": -1}.get(tokens[position], 0)
            position += 1
        if position < end and tokens[position - 1] == "::":
            position += 1
    while position < end and tokens[position] in {"&", "&&", "*", "const"}:
        position += 1
    if position < end and tokens[position] == "[":
        return tokens[position - 1] != "]"  # auto [a, b]
    return position + 1 < end and is_word(tokens[position]) and tokens[position + 1] in {"=", ";", "{", "(", ":", ",", "["}


def has_variable(text, start, end):
    """Whether a variable is declared among the tokens [start, end), bodies of lambdas left out."""
    position = start
    while position < end:
        if is_lambda(text, position):
            body = lambda_body(text, position)
            position = text.match[position] if body is None else text.match.get(body, body)
        else:
            before = text.tokens[position - 1] if position > start else ";"
            head = before == "(" and text.tokens[position - 2] in CONDITIONS
            if (head or before in {";", "{", "}", ")", ":", "else", "do"}) and is_declaration(text, position):
                return True
        position += 1
    return False


def enclosing(text, index):
    """The opening brackets around `index`, innermost first."""
    position = index - 1
    while position >= 0:
        if text.tokens[position] in CLOSE:
            position = text.match.get(position, position)
        elif text.tokens[position] in OPEN and position in text.match:
            yield position
        position -= 1


def is_body(text, brace):
    """Whether the `{` at `brace` begins the body of a function or lambda, rather than a block in it."""
    before = text.tokens[brace - 1] if brace else ";"
    if before in {"{", "}", ";", ":", "do", "else", "try"}:
        return False
    return not (before == ")" and text.tokens[text.match.get(brace - 1, brace) - 1] in CONDITIONS | {"catch", "constexpr"})


def in_bare_condition(text, index):
    """Whether the co_await at `index` stands in a condition, in a coroutine without a local variable."""
    condition = False
    for opening in enclosing(text, index):
        if text.tokens[opening] == "(" and opening and text.tokens[opening - 1] in CONDITIONS:
            condition = True
        elif text.tokens[opening] == "{" and is_body(text, opening):
            return condition and not has_variable(text, opening + 1, text.match[opening])
    return condition and not has_variable(text, 0, len(text.tokens))


def problems(content):
    """(line, sentence) of each trap in a C++ text."""
    text = Text(content)
    found = set()
    for index, token in enumerate(text.tokens):
        if token not in SUSPENDING or text.tokens[index - 1:index] == ["operator"]:
            continue
        end = index + 1
        # To the end of the full expression: over closed brackets, up to `;` or a block that begins.
        while end < len(text.tokens) and text.tokens[end] not in {";", "}"}:
            if is_lambda(text, end):
                body = lambda_body(text, end)
                end = (text.match[end] if body is None else text.match.get(body, body)) + 1
                continue
            if text.tokens[end] == "{" and text.tokens[end - 1] == ")":
                break  # if (co_await x) {
            end += 1
        start = expression_start(text, index)
        traps = [*problems_between(text, start, end), *problem_branches(text, start, end)]
        if in_bare_condition(text, index):
            traps.append((text.lines[index], "condition in a coroutine without local variables"))
        for line, sentence in traps:
            if not text.excused & {line, text.lines[index]}:
                found.add((line, sentence))
    return sorted(found)


def files(arguments):
    paths = [pathlib.Path(argument) for argument in arguments] or [pathlib.Path(__file__).resolve().parent.parent]
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir():
            inside = (name.relative_to(path) for name in path.rglob("*") if name.suffix in SUFFIXES and name.is_file())
            yield from sorted(path / name for name in inside if not any(NO_SOURCES.match(part) for part in name.parts[:-1]))
        else:
            sys.exit(f"{path}: no such file or folder")


def main(arguments):
    failed = False
    for path in files(arguments):
        content = path.read_text(encoding="utf-8", errors="replace")
        for line, sentence in problems(content) if any(word in content for word in SUSPENDING) else []:
            failed = True
            print(f"{path}:{line}: {sentence} in an expression with co_await or co_yield, which g++ 12 compiles wrongly; "
                  "make it a variable first")
    if not failed:
        print("co_await: no traps")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
