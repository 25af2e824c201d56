"""A run as a Markdown file, with its own words in the language of the reader."""

from dataclasses import replace

import pytest

from api.answers.run_schemas import RunEventOut, RunWithAnswerOut
from api.languages.catalogue import Texts
from api.runs.export import _iter_markdown
from ingest.storage.answers.run_records import RunEvent, RunSpending, RunState
from rlm.answers import AnswerStatus, Check, build_answer_json
from tests.fakes.runs import RUN
from tests.fakes.scripted_answers import answer

CELL = {"title": "I count.", "part": "1.2", "seconds": 1.5, "sub_calls": 2, "code": "x = 1", "output": "1"}
CODED = {"code": "step_search", "values": {}, "text": "Searches the documents"}
SEARCH = {
    "title": "Searches the documents",
    "coded_title": CODED,
    "seconds": 2.0,
    "sub_calls": 0,
    "code": "search('x')",
}
PLAN = {"steps": ["Run the query over the tables."], "sql": "SELECT " + ", ".join(f"column_{n}" for n in range(900))}
SPAN = {"document_id": "d", "start": 4, "end": 19}
CALL = {"purpose": "judge", "usage": {"prompt_tokens": 12_000}, "spans": [SPAN], "prompt": "Is it so?", "text": "Yes"}
FOUND = {"passages": 3, "titles": ["The Whale"]}
EVENTS = (
    RunEvent(1, "cell", CELL, 0.0), RunEvent(2, "call", CALL, 0.0), RunEvent(3, "retrieved", FOUND, 0.0),
    RunEvent(4, "cell", SEARCH, 0.0), RunEvent(5, "working", {"step": "cells", "done": 1, "total": 30}, 0.0),
    RunEvent(6, "planned", PLAN, 0.0),
)  # fmt: skip


def write(language: str, state: RunState = RunState.COMPLETED) -> str:
    """Return the Markdown file of a run that has ended."""
    spent = RunSpending(calls=1, prompt_tokens=12_000)
    run = replace(RUN, state=state, ended_at=60.0, spent=spent, answer=build_answer_json(answer()))
    events = (RunEventOut.from_event(each, with_full_replies=True) for each in EVENTS)
    return "".join(_iter_markdown(RunWithAnswerOut.from_run(run), events, Texts(language)))


def test_a_file_says_what_was_asked_answered_checked_and_done() -> None:
    written = write("en")
    for line in (
        "* State: Complete",
        "* Cost: 1 call, 0 more from the cache; 12,000 tokens read, 0 written; 0 s",
        "## Answer (answered)",
        "1. Proven: ",
        "* [1] The Whale (document d, 4 to 19)",
        "### I count. (part 1.2) (2 model calls, 1.5 s)\n\nCode:\n",
        "### Checks sentences against their sources (12,000 tokens read)\n\nRead: d, 4 to 19\n\nPrompt:\n",
        "### Found 3 passages in The Whale",
        "### Searches the documents (2 s)",
        "### Run the query over the tables.\n\n",
        str(PLAN["sql"]),
    ):
        assert line in written
    for jargon in ("cells", "Sub-call", "sub_calls", "judge"):
        assert jargon not in written


def test_a_file_is_in_the_language_of_the_reader() -> None:
    written = write("de")
    for line in (
        "* Zustand: Vollständig",
        "* Kosten: 1 Aufruf, 0 weitere aus dem Zwischenspeicher; 12.000 Tokens gelesen, 0 geschrieben; 0 s",
        "## Antwort (beantwortet)",
        "### Wie jeder Satz geprüft wurde\n\n1 von 1 Aussage belegt\n\n1. Belegt: ",
        "* [1] The Whale (Dokument d, 4 bis 19)",
        "## Was getan wurde",
        "### I count. (Teil 1.2) (2 Modellaufrufe, 1,5 s)\n\nCode:\n",
        "### Prüft Sätze anhand ihrer Quellen (12.000 Tokens gelesen)\n\nGelesen: d, 4 bis 19\n\nPrompt:\n",
        "### Durchsucht die Dokumente (2 s)",
    ):
        assert line in written


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED])
def test_each_last_state_of_a_run_has_a_name(state: RunState) -> None:
    assert f"* State: {state}" not in write("en", state)


@pytest.mark.parametrize("language", ["en", "de"])
def test_each_status_and_check_has_a_name(language: str) -> None:
    (sentence,) = answer().sentences
    sentences = tuple(replace(sentence, check=check) for check in Check)
    for status in AnswerStatus:
        body = build_answer_json(answer(status=status, sentences=sentences))
        run = RunWithAnswerOut.from_run(replace(RUN, state=RunState.COMPLETED, answer=body))
        written = "".join(_iter_markdown(run, iter(()), Texts(language)))
        assert all(f"\n{number}. " in written for number in range(1, len(Check) + 1))
