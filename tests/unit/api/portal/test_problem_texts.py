"""Each error code has a text for people."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from importlib.resources import files

import pytest

import api.main  # noqa: F401 - imports all errors of the API
import workers
from api.languages.catalogue import Texts
from api.portal.problem_texts import describe_problem
from ingest.storage.errors import LeadlineError

# The API never answers with errors of these packages: they are for the command line, for clients and for Slack.
_ELSEWHERE = (
    "api.build.",
    "api.cli.",
    "api.client.",
    "api.sizing.",
    "api.slack.",
    "tests.",
)
# Commands alone raise these: backups and evaluations are not part of the API.
_OF_COMMANDS = {"backup", "evaluation_data", "restore_unfinished"}
# Codes of problems that no exception class has, and those that the portal itself uses.
_WITHOUT_CLASS = {"http_error", "internal_error", "method_not_allowed", "not_found"}
_OWN = {
    "cancelled",
    "proxy",
    "proxy_timeout",
    "proxy_too_large",
    "proxy_unreachable",
    "service_away",
    "session_ended",
    "unknown",
}


def read_codes() -> list[str]:
    written = (files("api.portal") / "assets" / "problem_texts.js").read_text()
    return re.findall(r"^  (\w+): \(\) => \[", written, re.MULTILINE)


def list_errors(kind: type[LeadlineError] = LeadlineError) -> Iterator[type[LeadlineError]]:
    for each in kind.__subclasses__():
        yield each
        yield from list_errors(each)


def test_each_code_that_the_api_can_answer_with_has_one_text() -> None:
    for module in pkgutil.walk_packages(workers.__path__, "workers."):
        importlib.import_module(module.name)
    answered = {each.code for each in list_errors() if not each.__module__.startswith(_ELSEWHERE)}
    codes = read_codes()
    assert sorted(set(codes)) == codes
    assert set(codes) == (answered - _OF_COMMANDS) | _WITHOUT_CLASS | _OWN


def test_no_text_names_what_only_programs_know() -> None:
    written = (files("api.portal") / "assets" / "problem_texts.js").read_text()
    texts = re.findall(r"t\('([^']*)'\)", written)
    assert len(texts) > 200
    jargon = re.compile(r"`|\b(GET|POST|PUT|PATCH|DELETE|HEAD|HTTP)\b|Retry-After|If-Match|/v1/|Bearer")
    assert [each for each in texts if jargon.search(each)] == []


@pytest.mark.parametrize("status", [401, 403, 404, 422, 429, 500, 503])
def test_a_page_about_any_problem_says_what_to_do(status: int) -> None:
    for code in read_codes():
        shown = describe_problem(Texts("en"), code, status)
        assert shown.title, code
        assert shown.message.endswith("."), code
        assert 400 <= shown.status < 600, code
        assert shown.reloads == (shown.title == "Leadline is not ready yet"), code
