"""The suite itself."""

import pytest

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
