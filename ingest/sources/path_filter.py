"""Select paths by patterns, and derive the ids of items from paths."""

import hashlib
import os
import re
from collections.abc import Sequence
from fnmatch import translate
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ingest.sources.errors import ItemGoneError, ItemRefusedError

# Files that systems and programs keep for themselves: hidden ones, and those that are open or incomplete.
DEFAULT_EXCLUDE = (".*", "~$*", "*.tmp", "*.part", "Thumbs.db", "desktop.ini")
INCLUDE_HELP = (
    "Read only paths that match one of these patterns, for example `*.pdf` or `reports/2025`. `*` stands for any "
    "characters. A pattern without `/` applies to a name in any folder. Upper and lower case are equal."
)
EXCLUDE_HELP = "Leave out paths that match one of these patterns, and everything in matching folders."
_MAX_ID_CHARS = 1_000
# No relative path begins with a slash, so this cannot be the id of another item.
_LONG_ID = "/sha256/"
# Ids of names that are not valid UTF-8 begin with this prefix. No relative path begins with a slash.
_RAW_ID = "/bytes/"


class PathFilter:
    """Selects paths relative to a source. A pattern that matches a folder applies to everything in it."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = [_compile(pattern) for pattern in include]
        self._exclude = [_compile(pattern) for pattern in exclude]

    def accepts(self, path: str) -> bool:
        """Return whether a file is read."""
        return not self.excludes(path) and (not self._include or _matches(self._include, path))

    def excludes(self, path: str) -> bool:
        """Return whether a file or folder, and everything in it, is left out."""
        return _matches(self._exclude, path)


def build_item_id(path: str) -> str:
    """Return a path as an id, or a digest of a path that is too long for an id."""
    if len(path) <= _MAX_ID_CHARS:
        return path
    return _LONG_ID + hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()


def parse_item_id(item_id: str) -> str:
    """Return the path of an id. Raises `ItemRefusedError` if the path was too long."""
    if item_id.startswith(_LONG_ID):
        raise ItemRefusedError(
            f"The path has more than {_MAX_ID_CHARS:,} characters.",
            hint="Move the file to a folder with a shorter path.",
        )
    return item_id


def show_path(path: str) -> str:
    """Return a path that `os.fsdecode` has decoded as valid Unicode."""
    return os.fsencode(path).decode("utf-8", "replace")


def build_path_id(path: str) -> str:
    """Return a path that `os.fsdecode` has decoded as an id."""
    try:
        path.encode()
    except UnicodeEncodeError:
        path = _RAW_ID + quote_from_bytes(os.fsencode(path))
    return build_item_id(path)


def parse_path_id(item_id: str) -> str:
    """Return the path of an id of `build_path_id`, for `os.fsencode`.

    Raises `ItemGoneError` if the id is not a path below a folder, and `ItemRefusedError` if the path was too long.
    """
    path = parse_item_id(item_id)
    if path.startswith(_RAW_ID):
        path = os.fsdecode(unquote_to_bytes(path.removeprefix(_RAW_ID)))
    # guard: source-no-parent-folder
    if not path or "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ItemGoneError(item_id)
    return path


def _compile(pattern: str) -> tuple[bool, re.Pattern[str]]:
    pattern = pattern.strip("/")
    return "/" in pattern, re.compile(translate(pattern.lower()))


def _matches(patterns: Sequence[tuple[bool, re.Pattern[str]]], path: str) -> bool:
    if not patterns:
        return False
    parts = path.lower().split("/")
    for depth, name in enumerate(parts, 1):
        prefix = "/".join(parts[:depth])
        if any(pattern.match(prefix if is_path else name) for is_path, pattern in patterns):
            return True
    return False
