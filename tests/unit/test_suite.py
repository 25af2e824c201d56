"""The suite itself."""

from pathlib import Path

import pytest

from tests.faults.guards.regions import find_marks
from tests.faults.guards.table import load_guards
from tests.support.requirements import INSISTED, require_program, unusable

_ROOT = Path(__file__).parents[2]


def test_over_several_processes_the_tests_of_a_module_stay_together(request: pytest.FixtureRequest) -> None:
    """A release of pytest that pytest-xdist does not know drops the groups in silence: each loads the model."""
    marks = [mark.args[0] for mark in request.node.iter_markers("xdist_group")]
    assert marks == ["tests/unit/test_suite.py"]
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith(f"@{marks[0]}")


def test_what_the_system_lacks_is_named_with_its_package_and_skips_a_test_or_fails_it_where_all_must_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unusable.cache_clear()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(INSISTED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs bubblewrap: apt install bubblewrap"):
        require_program("bwrap")
    monkeypatch.setenv(INSISTED, "1")
    with pytest.raises(pytest.fail.Exception, match="needs bubblewrap"):
        require_program("bwrap")
    unusable.cache_clear()


def test_every_mark_of_a_guard_has_a_row() -> None:
    assert {mark.slug for mark in find_marks(_ROOT)} - {guard.slug for guard in load_guards()} == set()


def test_the_test_of_every_guard_exists() -> None:
    missing = [guard.slug for guard in load_guards() if f"def {guard.test_name}" not in _read(guard.test_file)]
    assert missing == []


def test_the_rows_of_guards_are_sorted() -> None:
    """Rows that are added at the same time then seldom conflict."""
    slugs = [guard.slug for guard in load_guards()]
    assert slugs == sorted(slugs)


def _read(file: str) -> str:
    return (_ROOT / file).read_text("utf-8")
