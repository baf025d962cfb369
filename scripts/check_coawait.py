#!/usr/bin/env python3
"""Rejects co_await and co_yield expressions that g++ 12 compiles wrongly: check_coawait.py [ROOT | FILE...].

g++ 12 destroys some temporaries of an expression with co_await or co_yield in it twice: lambdas that capture by value, and
aggregates. So in such an expression there is

  - no lambda with a by-value capture:     co_await pool.submit([s] { ... });   write   auto f = pool.submit([s] { ... });
                                                                                       co_await std::move(f);
  - no braced temporary:                   co_await send(order{1, "x"});        write   order o{1, "x"}; co_await send(o);

Fine are [&] and [this], option structs ({.name = "x"}, call_options{...}: they have trivial destructors, which the library
asserts), chrono durations, and T{} of the names in TRIVIAL. A line with the comment `coawait-ok: reason` is passed over.
"""
import pathlib
import re
import sys

FOLDERS = ["tutti", "apps", "examples", "bench", "tests"]
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
        for line, sentence in problems_between(text, expression_start(text, index), end):
            if not text.excused & {line, text.lines[index]}:
                found.add((line, sentence))
    return sorted(found)


def files(arguments):
    paths = [pathlib.Path(argument) for argument in arguments] or [pathlib.Path(__file__).resolve().parent.parent]
    for path in paths:
        if path.is_file():
            yield path, path.name
            continue
        for folder in FOLDERS:
            for name in sorted((path / folder).rglob("*.[ch]pp")):
                yield name, name.relative_to(path)


def main(arguments):
    failed = False
    for path, name in files(arguments):
        content = path.read_text(encoding="utf-8", errors="replace")
        for line, sentence in problems(content) if any(word in content for word in SUSPENDING) else []:
            failed = True
            print(f"{name}:{line}: {sentence} in an expression with co_await or co_yield: g++ 12 may destroy it twice; "
                  "make it a variable first")
    if not failed:
        print("co_await: no traps")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
