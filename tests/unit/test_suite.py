"""The suite itself."""

from pathlib import Path

import pytest

from tests.faults.remove_guards import GUARDS, Guard
from tests.support.requirements import INSISTED, require_program, unusable


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


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_every_guard_stands_once_in_its_file_and_its_test_is_there(guard: Guard) -> None:
    root = Path(__file__).parents[2]
    assert (root / guard.file).read_text().count(guard.text) == 1
    file, _, name = guard.test.split()[0].partition("::")
    assert f"def {name}" in (root / file).read_text()
