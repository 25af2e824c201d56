"""How guards are checked and removed, with the programs that do so."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.guards.checks import locate_guards
from tests.faults.guards.regions import GUARDED
from tests.faults.guards.table import Guard, load_guards
from tests.faults.guards.trials import TreeCopy, Verdict

_ROOT = Path(__file__).parents[2]
_DOORS = """
def opens(key):
    # guard: door
    return key == 1
"""
_DOOR_TESTS = """
import subprocess
import sys

import pytest
from api.doors import opens

@pytest.fixture
def door():
    assert not opens(2)

def test_notices():
    assert not opens(2)

def test_passes_without_the_guard():
    assert opens(1)

def test_fails_with_the_guard():
    assert opens(2)

@pytest.mark.parametrize("key", [2, 3])
def test_notices_in_a_case(key):
    assert not opens(key)

def test_notices_in_an_isolated_process():
    code = "from api.doors import opens; assert not opens(2)"
    assert subprocess.run([sys.executable, "-I", "-c", code]).returncode == 0

def test_is_skipped():
    pytest.skip()

def test_has_a_fixture_that_fails(door):
    pass

def test_fails_by_an_unknown_name():
    if opens(2):
        raise NameError
"""
_VERDICTS = {
    "test_notices": Verdict.NOTICED,
    "test_notices_in_an_isolated_process": Verdict.NOTICED,
    "test_notices_in_a_case[2]": Verdict.NOTICED,
    "test_passes_without_the_guard": Verdict.MISSED,
    "test_fails_with_the_guard": Verdict.BROKEN,
    "test_is_skipped": Verdict.BROKEN,
    "test_has_a_fixture_that_fails": Verdict.BROKEN,
    "test_fails_by_an_unknown_name": Verdict.BROKEN,
}


@pytest.mark.parametrize(
    ("source", "replacement", "problem"),
    [
        ("a = 1\n", "", "No file has the mark door"),
        (
            "# guard: door\na = 1\n# guard: door\nb = 1\n",
            "",
            "stands in several places: api/doors.py:1, api/doors.py:3",
        ),
        ("# guard: door\na = 1\n", "a = b", "uses names that api/doors.py does not: b"),
        ("# guard: door\nc = 1\na = c\n", "", "has undefined names: c"),
        ("# guard: door\na = 1\n", "a =", "does not compile"),
        ("# guard: door\na = 1\n", "a = 1", "changes nothing"),
        ("# guard: door\n", "", "There is no code below the mark"),
    ],
)
def test_a_row_that_no_longer_fits_its_source_is_reported(
    tmp_path: Path, source: str, replacement: str, problem: str
) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "doors.py").write_text(source)
    marks, problems = locate_guards(tmp_path, [_guard(replacement)])
    assert marks == {}
    assert problem in problems["door"]


def test_a_guard_counts_as_noticed_only_if_its_test_ran_and_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    root = _make_tree(tmp_path / "root")
    guards = [replace(_guard("return True"), test=f"tests/test_doors.py::{test}") for test in _VERDICTS]
    marks, problems = locate_guards(root, guards)
    assert problems == {}
    outcomes = TreeCopy(root, tmp_path).try_guards(guards, marks)
    verdicts = {guard.test.partition("::")[2]: outcome.verdict for guard, outcome in zip(guards, outcomes, strict=True)}
    assert verdicts == _VERDICTS
    assert (tmp_path / "tree" / "api" / "doors.py").read_text() == _DOORS


def _make_tree(root: Path) -> Path:
    for part in (*GUARDED, "tests"):
        (root / part).mkdir(parents=True)
    (root / "api" / "__init__.py").touch()
    (root / "api" / "doors.py").write_text(_DOORS)
    (root / "tests" / "test_doors.py").write_text(_DOOR_TESTS)
    return root


def _guard(replacement: str, *, lines: int | None = None, skip: int = 0) -> Guard:
    return Guard("door", "A door opens only with its key.", replacement, "tests/test_doors.py", lines=lines, skip=skip)


def test_every_guard_has_one_mark_and_can_be_removed() -> None:
    """A move or a rename that breaks a row is noticed here, without removing any guard."""
    _, problems = locate_guards(_ROOT, load_guards())
    assert problems == {}
