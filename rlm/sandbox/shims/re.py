import re as _re

I = IGNORECASE = 2  # noqa: E741
M = MULTILINE = 8
S = DOTALL = 16
U = UNICODE = 32
X = VERBOSE = 64
error = _re.error
PatternError = _re.error
escape = _re.escape
Match = _re.Match


def _translate_pattern(pattern, flags):
    """Translate `$` and `\\Z` to their meaning in Python; a verbose pattern declares itself with `(?x)`."""
    if "$" not in pattern and "\\Z" not in pattern:
        return pattern
    multiline = flags & 8 or "(?m" in pattern or "(?im" in pattern or "(?sm" in pattern
    pieces = []
    in_class = False
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            pair = pattern[at : at + 2]
            pieces.append("\\z" if pair == "\\Z" and not in_class else pair)
            at += 2
            continue
        if char == "[" and not in_class:
            in_class = True
        elif char == "]" and in_class:
            in_class = False
        pieces.append("(?=\\n?\\z)" if char == "$" and not in_class and not multiline else char)
        at += 1
    return "".join(pieces)


_compiled = {}


def _compile_native(pattern, flags=0):
    flags = int(flags)
    key = (pattern, flags)
    if key not in _compiled:
        if len(_compiled) > 500:
            _compiled.clear()
        text = pattern if isinstance(pattern, bytes) else _translate_pattern(pattern, flags)
        if flags & 64:
            text = "(?x)" + text
        _compiled[key] = _re.compile(text, flags & 26)
    return _compiled[key]


class Pattern:
    def __init__(self, pattern, flags):
        self.pattern = pattern
        self.flags = int(flags)
        self._native = _compile_native(pattern, flags)
        self.groups = 0

    def __repr__(self):
        return f"re.compile({self.pattern!r})"

    def __eq__(self, other):
        return isinstance(other, Pattern) and (self.pattern, self.flags) == (other.pattern, other.flags)

    def __hash__(self):
        return hash((self.pattern, self.flags))

    def search(self, string):
        return self._native.search(string)

    def match(self, string):
        return self._native.match(string)

    def fullmatch(self, string):
        return self._native.fullmatch(string)

    def findall(self, string):
        return self._native.findall(string)

    def finditer(self, string):
        return iter(self._native.finditer(string))

    def split(self, string, maxsplit=0):
        return self._native.split(string, maxsplit)

    def sub(self, repl, string, count=0):
        if isinstance(repl, (str, bytes)):
            return self._native.sub(repl, string, count)
        return self._substitute(repl, string, count)[0]

    def subn(self, repl, string, count=0):
        if isinstance(repl, str):
            made = len(list(self._native.finditer(string)))
            return self._native.sub(repl, string, count), min(made, count) if count else made
        return self._substitute(repl, string, count)

    def _substitute(self, repl, string, count):
        pieces = []
        at = made = 0
        for found in self._native.finditer(string):
            if count and made == count:
                break
            pieces.append(string[at : found.start()])
            pieces.append(repl(found))
            at = found.end()
            made += 1
        pieces.append(string[at:])
        return "".join(pieces), made


def compile(pattern, flags=0):
    return pattern if isinstance(pattern, Pattern) else Pattern(pattern, flags)


def search(pattern, string, flags=0):
    return compile(pattern, flags).search(string)


def match(pattern, string, flags=0):
    return compile(pattern, flags).match(string)


def fullmatch(pattern, string, flags=0):
    return compile(pattern, flags).fullmatch(string)


def findall(pattern, string, flags=0):
    return compile(pattern, flags).findall(string)


def finditer(pattern, string, flags=0):
    return compile(pattern, flags).finditer(string)


def split(pattern, string, maxsplit=0, flags=0):
    return compile(pattern, flags).split(string, maxsplit)


def sub(pattern, repl, string, count=0, flags=0):
    return compile(pattern, flags).sub(repl, string, count)


def subn(pattern, repl, string, count=0, flags=0):
    return compile(pattern, flags).subn(repl, string, count)


def purge():
    _compiled.clear()
