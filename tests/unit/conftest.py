"""Unit tests use no network, no child process, no model and no sleep: `tests/support/unit_rules.py`."""

from collections.abc import Generator

import pytest

from tests.support.unit_rules import Rule, hold_to_rules, watched_functions


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    with watched_functions():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    with hold_to_rules(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with hold_to_rules(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    if nextitem is None:  # fixtures of the whole session end now, and with them the servers of other tests
        return (yield)
    with hold_to_rules(item):
        return (yield)


@pytest.fixture(scope="session", name="encoder_files")
def no_encoder() -> None:
    """Fail with the rule also where the files are missing."""
    pytest.fail(Rule.MODEL.value, pytrace=False)


@pytest.fixture(scope="session", name="local_model")
def no_language_model() -> None:
    """Fail with the rule also where the files are missing."""
    pytest.fail(Rule.MODEL.value, pytrace=False)
