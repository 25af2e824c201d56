"""Finds the modules that a page of the portal loads, so that a page gets only the texts that it can show."""

import re
from functools import cache
from importlib.resources import files

# Modules of every page.
_SHELL = ("watch.js", "shell.js", "admin_banner.js")
_IMPORT = re.compile(r"(?:\bfrom|\bimport)\s*\(?\s*'\./(\w+\.js)'")


@cache
def list_page_modules(entry: str) -> frozenset[str]:
    """Return the names of the modules that a page loads, at first or later, given the name of its own module."""
    found, waiting = set[str](), [f"{entry}.js", *_SHELL]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _IMPORT.findall((_ASSETS / name).read_text("utf-8"))
    return frozenset(found)


def is_module(entry: str) -> bool:
    """Return whether the portal has a module of this name."""
    return re.fullmatch(r"\w+", entry) is not None and (_ASSETS / f"{entry}.js").is_file()


_ASSETS = files("api.portal") / "assets"
