# SPDX-License-Identifier: MIT
"""Enough of a C parser to find functions, conditionals and words in code.

No preprocessor runs: what is counted is what a reader sees.
"""
import re

NOISE = re.compile(r"""
    //(?:\\\n|[^\n])*            # comment to the end of the line
  | /\*.*?\*/                    # comment
  | "(?:\\.|[^"\\\n])*"          # string
  | '(?:\\.|[^'\\\n])+'          # character
""", re.X | re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.M)
# What may stand between the parameters of a function and its body.
TRAILER = re.compile(r"(?:\s*\b(?:__\w+|noexcept)\s*(?:\((?:[^()]|\([^()]*\))*\))?)*\s*$")
NO_FUNCTION = {"if", "for", "while", "switch", "do", "else", "return", "sizeof"}


class Function:
    """A function's name, its first and last line, and whether it is static."""

    def __init__(self, name, first, last, static):
        self.name, self.first, self.last, self.static = name, first, last, static

    @property
    def lines(self):
        """Lines from the name to the closing brace, both counted."""
        return self.last - self.first + 1


def blank(match):
    """As many lines as the match had, and nothing in them."""
    return " " + "\n" * match.group(0).count("\n")


def strip_comments(text, keep_strings=False):
    """The text without comments (and strings); line numbers stay."""
    def repl(match):
        got = match.group(0)
        if got[0] == "/":
            return blank(match)
        return got if keep_strings else got[0] * 2
    return NOISE.sub(repl, text)


def strip(text):
    """The text without comments, strings and directives; line numbers stay."""
    return DIRECTIVE.sub(blank, strip_comments(text))


def match_back(code, close):
    """The index of the parenthesis that the one at close ends, or -1."""
    depth = 0
    for i in range(close, -1, -1):
        if code[i] == ")":
            depth += 1
        elif code[i] == "(":
            depth -= 1
            if not depth:
                return i
    return -1


def declarator(head):
    """(name, offset of the name) when the text before a brace declares a function."""
    end = TRAILER.search(head).start()
    head = head[:end].rstrip()
    if not head.endswith(")"):
        return None
    start = match_back(head, len(head) - 1)
    if start < 0:
        return None
    found = re.search(r"([A-Za-z_]\w*)\s*$", head[:start])
    if not found or found.group(1) in NO_FUNCTION:
        return None
    name = found.group(1)
    if name.isupper():      # a macro that makes the function, such as TEST(name)
        name = " ".join(head[found.start(1):].split())
    return name, found.start(1)


def functions(text):
    """All functions that are defined in the text of a C file."""
    code = strip(text)
    found, depth, parens, head_at, current = [], 0, 0, 0, None
    for i, char in enumerate(code):
        if char == "(":
            parens += 1
        elif char == ")":
            parens -= 1
        elif char == "{" and not parens:
            if not depth:
                head = code[head_at:i]
                # extern "C" { opens no scope of its own.
                if re.search(r'\bextern\s+""\s*$', head):
                    head_at = i + 1
                    continue
                got = declarator(head)
                if got:
                    name, offset = got
                    current = (name, code.count("\n", 0, head_at + offset) + 1,
                               bool(re.search(r"\bstatic\b", head)))
            depth += 1
        elif char == "}" and not parens:
            depth = max(0, depth - 1)
            if not depth:
                if current:
                    name, first, static = current
                    found.append(Function(name, first, code.count("\n", 0, i) + 1, static))
                current, head_at = None, i + 1
        elif char == ";" and not depth and not parens:
            head_at = i + 1
    return found


GUARD_START = re.compile(r"\s*#\s*(?:ifndef\s+(\w+)"
                         r"|if\s+!\s*defined\s*\(?\s*(\w+)\s*\)?"
                         r"(?:\s*\|\|\s*defined\s*\(?\s*TRACE_HEADER_MULTI_READ\s*\)?)?\s*$)")


def guard_line(text):
    """The line number of a header's include guard, or 0."""
    lines = strip_comments(text).split("\n")
    code = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    for (n, line), (_, after) in zip(code, code[1:]):
        got = GUARD_START.match(line)
        if got:
            name = got.group(1) or got.group(2)
            return n if re.match(rf"\s*#\s*define\s+{name}\s*$", after) else 0
        if not re.match(r"\s*#\s*(undef|define)\b", line):
            return 0
    return 0


def conditionals(text):
    """Line numbers of #if, #ifdef, #ifndef and #elif, the include guard excepted."""
    guard = guard_line(text)
    code = strip_comments(text)
    return [n for n, line in enumerate(code.split("\n"), 1)
            if re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line) and n != guard]


def sloc(text):
    """Lines that are neither blank nor comment."""
    return sum(1 for line in strip_comments(text, keep_strings=True).split("\n") if line.strip())
