"""Check rows of the guard table against the source, without running a test."""

import builtins
import io
import json
import keyword
import re
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.faults.guards.regions import BrokenGuardError, Mark, find_marks, replace_region
from tests.faults.guards.table import Guard


def locate_guards(root: Path, guards: Iterable[Guard]) -> tuple[dict[str, Mark], dict[str, str]]:
    """Return the mark of each sound row, and the problem of each other row, by slug.

    A replacement that uses a name nobody defines would make any test fail, and prove nothing. So the replaced file must
    compile, have no new undefined name, and use no identifier that the file did not use before.
    """
    places: dict[str, list[Mark]] = {}
    for mark in find_marks(root):
        places.setdefault(mark.slug, []).append(mark)
    marks: dict[str, Mark] = {}
    problems: dict[str, str] = {}
    texts: dict[str, str] = {}
    for guard in guards:
        try:
            mark = _require_single(guard, places.get(guard.slug, []))
            text = (root / mark.file).read_text("utf-8")
            changed = replace_region(text, mark, guard)
            if mark.file.suffix == ".py":
                _require_known_names(text, guard, mark)
                texts[str(mark.file)] = text
                texts[guard.slug] = changed
            marks[guard.slug] = mark
        except BrokenGuardError as error:
            problems[guard.slug] = str(error)
    undefined = find_undefined_names(texts)
    for slug, mark in list(marks.items()):
        if new := undefined.get(slug, set()) - undefined.get(str(mark.file), set()):
            problems[slug] = f"Without {slug}, {mark.file} has undefined names: {', '.join(sorted(new))}."
            del marks[slug]
    return marks, problems


def find_undefined_names(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the names that each Python text uses and nothing defines."""
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for number, (key, text) in enumerate(texts.items()):
            file = Path(folder).resolve() / f"text_{number}.py"
            file.write_text(text, "utf-8")
            files[str(file)] = key
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--exit-zero"]
        options = ["--select", "F821", "--output-format", "json", folder]
        found = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    names: dict[str, set[str]] = {key: set() for key in texts}
    for each in json.loads(found.stdout):
        names[files[each["filename"]]].add(each["message"].split("`")[1])
    return names


def _require_single(guard: Guard, marks: list[Mark]) -> Mark:
    if not marks:
        raise BrokenGuardError(f"No file has the mark {guard.slug}. Restore the mark above the guarded code.")
    if len(marks) > 1:
        places = ", ".join(f"{mark.file}:{mark.line + 1}" for mark in marks)
        raise BrokenGuardError(f"The mark {guard.slug} stands in several places: {places}. Give each its own slug.")
    return marks[0]


def _require_known_names(text: str, guard: Guard, mark: Mark) -> None:
    """Raise `BrokenGuardError` for an identifier that was renamed in the file and not in the replacement."""
    words = set(re.findall(r"\w+", text))
    new = _list_names(guard.replacement) - words - set(dir(builtins)) - set(keyword.kwlist)
    if new:
        raise BrokenGuardError(
            f"The replacement of {guard.slug} uses names that {mark.file} does not: {', '.join(sorted(new))}."
        )


def _list_names(text: str) -> set[str]:
    """Return the identifiers in Python source, which may be a part of an expression."""
    names: set[str] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                names.add(token.string)
    except tokenize.TokenError:  # an open bracket at the end of the part
        pass
    return names
