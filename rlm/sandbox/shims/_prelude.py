"""Functions that lowered code calls; loaded before a session's first cell."""

# ruff: noqa: F821


class _ll_Module:
    pass


def _ll_show(value):
    if value is not None:
        print(repr(value))


_ll_types = (str, bytes, list, dict, set, frozenset, tuple, int, float)


def _ll_bound(thing, name):
    """Return a method of a built-in object as a function, or an attribute of any other object."""
    if type(thing).__name__ == "type" and thing in _ll_types:
        return _ll_methods[name]
    if isinstance(thing, (str, bytes, list, dict, set, frozenset)) or type(thing).__name__ in ("deque", "Match"):
        method = _ll_methods[name]
        return lambda *arguments, **named: method(thing, *arguments, **named)
    return getattr(thing, name)


def _ll_exit(*_):
    raise SystemExit


def _ll_maketrans(before, after=None, removed=""):
    if isinstance(before, dict):
        return {ord(key) if isinstance(key, str) else key: value for key, value in before.items()}
    table = {ord(old): new for old, new in zip(before, after)}
    for char in removed:
        table[ord(char)] = None
    return table


def _ll_translate(text, table):
    if not isinstance(text, str):
        return text.translate(table)
    pieces = []
    for char in text:
        new = table.get(ord(char), char)
        if new is not None:
            pieces.append(chr(new) if isinstance(new, int) else new)
    return "".join(pieces)


def _ll_map(function, *iterables):
    if len(iterables) == 1:
        return iter([function(each) for each in iterables[0]])
    return iter([function(*each) for each in zip(*iterables)])


def _ll_filter(function, iterable):
    return iter([each for each in iterable if (each if function is None else function(each))])


def _ll_round(number, ndigits=None):
    """Round the exact number to the nearest, as Python does."""
    if isinstance(number, float) and ndigits is not None and 0 <= ndigits < 20 and abs(number) < 1e15:
        return float(f"{number:.{ndigits}f}")
    return round(number) if ndigits is None else round(number, ndigits)


def callable(thing):
    return type(thing).__name__ in ("function", "builtin_function_or_method", "type", "method") or hasattr(
        thing, "__call__"
    )
