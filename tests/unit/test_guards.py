"""How guards are found and removed, in trees made for the tests."""

from pathlib import Path

import pytest

from tests.faults.guards.regions import Mark, find_marks, replace_region
from tests.faults.guards.table import Guard


@pytest.mark.parametrize(
    ("text", "replacement", "expected"),
    [
        ("a()\n# guard: door\nb(\n    1,\n)\nc()\n", "", "a()\n# guard: door\npass\nc()\n"),
        ("# guard: door\nif a:\n    b()\nc()\n", "", "# guard: door\npass\nc()\n"),
        ("# guard: door\nif a:\n    b()\nc()\n", "if d:", "# guard: door\nif d:\n    b()\nc()\n"),
        ("# guard: door\nif (\n    a\n    and b\n):\n    b()\n", "if a:", "# guard: door\nif a:\n    b()\n"),
        (
            "if a:\n    b()\n# guard: door\nelif c:\n    d()\n",
            "elif a:",
            "if a:\n    b()\n# guard: door\nelif a:\n    d()\n",
        ),
        ("a = [\n    b,\n    # guard: door\n    c,\n]\n", "", "a = [\n    b,\n    # guard: door\n]\n"),
        (
            "if a:\n    # guard: door\n    # Why.\n    b()\n",
            "c()\nd()",
            "if a:\n    # guard: door\n    # Why.\n    c()\n    d()\n",
        ),
        ("# guard: door\n# guard: lock\na(b)\n", "a()", "# guard: door\n# guard: lock\na()\n"),
    ],
)
def test_a_mark_in_python_covers_a_statement_its_header_or_a_line_of_an_expression(
    text: str, replacement: str, expected: str
) -> None:
    line = next(number for number, each in enumerate(text.splitlines()) if each.endswith("# guard: door"))
    assert replace_region(text, Mark("door", Path("a.py"), line, False), _guard(replacement)) == expected


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("page.js", "// guard: door"),
        ("run.sh", "  # guard: door"),
        ("table.sql", "-- guard: door"),
        ("pod.yaml", "{{- /* guard: door */}}"),
        ("page.html", "{# guard: door #}"),
    ],
)
def test_a_mark_in_other_files_covers_the_next_line(tmp_path: Path, name: str, line: str) -> None:
    text = f"first\n{line}\n  second\nthird\n"
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / name).write_text(text)
    (mark,) = find_marks(tmp_path)
    assert replace_region(text, mark, _guard("")) == f"first\n{line}\nthird\n"
    assert replace_region(text, mark, _guard("other", lines=2)) == f"first\n{line}\n  other\n"
    assert replace_region(text, mark, _guard("other", skip=1)) == f"first\n{line}\n  second\nother\n"


def _guard(replacement: str, *, lines: int | None = None, skip: int = 0) -> Guard:
    return Guard("door", "A door opens only with its key.", replacement, "tests/test_doors.py", lines=lines, skip=skip)
