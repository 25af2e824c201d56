"""The words that the portal has for the audit log, against the actions and limits that the log records."""

import re

from ingest.storage.accounts.records import Role
from ingest.storage.audit.records import Action
from ingest.storage.quotas.records import Quota
from tests.texts.extraction import ASSETS


def read_members(module: str, name: str) -> set[str]:
    """Return the names of the members of an object of a JavaScript module."""
    source = (ASSETS / module).read_text()
    (body,) = re.findall(rf"const {name} = \{{(.*?)\}}\n", source, re.DOTALL)
    return set(re.findall(r"'?([\w.]+)'?: t\(", body))


def test_the_page_has_words_for_each_action_that_is_recorded() -> None:
    assert read_members("audit_words.js", "ACTIONS") == {each.value for each in Action}


def test_the_page_has_words_for_each_limit_and_role() -> None:
    assert read_members("quotas.js", "QUOTAS") == {each.value for each in Quota}
    assert read_members("audit_words.js", "ROLES") == {each.value for each in Role}
