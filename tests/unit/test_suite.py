"""The suite itself."""

import pytest


def test_over_several_processes_the_tests_of_a_module_stay_together(request: pytest.FixtureRequest) -> None:
    """A release of pytest that pytest-xdist does not know drops the groups in silence: each loads the model."""
    marks = [mark.args[0] for mark in request.node.iter_markers("xdist_group")]
    assert marks == ["tests/unit/test_suite.py"]
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith(f"@{marks[0]}")
