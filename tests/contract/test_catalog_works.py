"""What was made of a version goes with it: kept replies, answers, and runs with their logs."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, text

from ingest.storage import instrumentation as faultpoints
from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.feedback import Feedback
from ingest.storage.answers.feedback_records import Rating, Verdict
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.redaction import WITHHELD_TEXT, Redaction, RedactionCounts
from ingest.storage.answers.replies import Replies, StoredReply
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import RunLogEntry, RunRequest, RunSpending, RunState
from ingest.storage.answers.runs import Runs
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import ROUTE_SUFFIX, Work
from ingest.storage.errors import LeaseLostError, SourceGoneError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job, JobKind
from tests.support.catalogs import arrive

MARK = "quagvoxle"


def sentence(said: str, *citations: int, check: str = "verified") -> dict[str, Any]:
    return {
        "text": said,
        "start": 0,
        "end": 1,
        "citations": list(citations),
        "check": check,
        "reason": "",
        "quotes": [],
    }


def body(*sentences: Mapping[str, Any], cites: Mapping[int, str]) -> dict[str, Any]:
    """An answer's JSON; `cites` are the versions of its citations."""
    cited = {"title": MARK, "heading_path": [MARK], "page": None, "start": 0, "end": 1, "quote": MARK, "verified": True}
    return {
        "text": MARK,
        "sentences": list(sentences),
        "citations": [
            {"number": number, "document_id": f"of {version}", "version_id": version, **cited}
            for number, version in cites.items()
        ],
        "searched": {"passages": 1, "read": 1, "documents": [], "queries": [MARK]},
        "question": MARK,
        "reasons": [MARK],
        "notes": [MARK],
        "result": {"value": MARK},
        "table": {"rows": [[MARK]]},
    }


def kept(identifier: str, content: Mapping[str, Any]) -> StoredAnswer:
    return StoredAnswer(identifier, "ann", None, None, "What?", content, (), 1.0)


def put(engine: Engine, key: str, work: Work | None) -> None:
    Replies(engine).store_replies("ann", [StoredReply(key, MARK, 1, 1, 1)], work)


def known(engine: Engine, *keys: str) -> set[str]:
    return set(Replies(engine).load_replies("ann", keys))


def everything(engine: Engine) -> str:
    with engine.connect() as connection:
        tables = ("answers", "runs", "run_events", "replies", "work_versions", "jobs")
        return str([connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables])


@pytest.fixture
def version(catalog: Catalog) -> str:
    return arrive(catalog).version.id


@pytest.fixture
def other(catalog: Catalog) -> str:
    return arrive(catalog, "other").version.id


def begun(engine: Engine, jobs: Jobs, question: str = "What?") -> Job:
    Runs(engine).create(RunRequest("ann", question))
    (job,) = jobs.claim(JobKind.RUN)
    RunLog(engine).start_run(job)
    return job


def call(key: str, purpose: str = "answer") -> RunLogEntry:
    usage = {"calls": 1, "prompt_tokens": 5, "completion_tokens": 2}
    members = {"purpose": purpose, "prompt": MARK, "text": MARK, "cached": False, "usage": usage}
    return RunLogEntry(key, "call", members, RunSpending(1, 0, 5, 2))


def test_replies_to_calls_of_a_work_go_with_each_version_that_it_was_given(
    engine: Engine, version: str, other: str
) -> None:
    put(engine, "first", Work("a", frozenset({version})))
    put(engine, "second", Work("a", frozenset({version, other})))
    put(engine, "third", Work("b", frozenset({other})))
    put(engine, "fourth", None)
    assert Redaction(engine).redact_version("ann", version) == RedactionCounts(replies=2)
    assert known(engine, "first", "second", "third", "fourth") == {"third", "fourth"}
    assert Redaction(engine).redact_version("ann", version) == RedactionCounts()


def test_nothing_made_of_a_deleted_document_is_stored_any_more(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    version = document.version.id
    job = begun(engine, jobs)
    put(engine, "before", Work("a", frozenset({version})))
    catalog.delete_document("ann", document.id)
    put(engine, "after", Work("a", frozenset({version})))
    put(engine, "another", Work("b", frozenset({version})))
    assert known(engine, "after", "another") == set()
    answer = kept("c", body(sentence(MARK, 1), cites={1: version}))
    assert Conversations(engine).store_answer(answer, frozenset({version})).body["text"] == WITHHELD_TEXT
    with pytest.raises(SourceGoneError):
        RunLog(engine).append_entries(job, [call("key")], seconds=1.0, work=Work(job.version_id, frozenset({version})))
    with pytest.raises(SourceGoneError):
        RunLog(engine).finish_run(
            job, RunState.COMPLETED, answer.body, seconds=1.0, work=Work(job.version_id, frozenset({version}))
        )
    Redaction(engine).redact_version("ann", version)
    assert MARK not in everything(engine)


def test_of_an_answer_the_question_stays_and_sentences_that_other_versions_hold_up(
    engine: Engine, version: str, other: str
) -> None:
    content = body(
        sentence(f"{MARK} opens.", check="unchecked"),
        sentence(f"{MARK} [1].", 1),
        sentence("It stays [2].", 2, check="quoted"),
        sentence(f"Both say {MARK} [1][2].", 1, 2),
        sentence(f"Nobody says {MARK} [2].", 2, check="unsupported"),
        cites={1: version, 2: other},
    )
    conversations = Conversations(engine)
    conversations.store_answer(kept("a", content), frozenset({version, other}))
    conversations.store_answer(kept("b", body(sentence("Apart [1].", 1), cites={1: other})), frozenset({other}))
    assert Redaction(engine).redact_version("ann", version) == RedactionCounts(answers=1)
    found = conversations.load_answer("ann", "a")
    assert (found.question, found.body["question"]) == ("What?", "What?")
    assert found.body["text"] == f"{WITHHELD_TEXT} It stays [2]. {WITHHELD_TEXT}"
    assert [found.body["text"][each["start"] : each["end"]] for each in found.body["sentences"]] == [
        WITHHELD_TEXT,
        "It stays [2].",
        WITHHELD_TEXT,
    ]
    gone, stays = found.body["citations"]
    assert (gone["quote"], gone["title"], gone["deleted"], stays["quote"]) == ("", "", True, MARK)
    assert conversations.load_answer("ann", "b").body["sentences"][0]["text"] == "Apart [1]."
    Redaction(engine).redact_version("ann", other)
    assert conversations.load_answer("ann", "a").body["text"] == WITHHELD_TEXT
    assert MARK not in str(conversations.load_answer("ann", "a"))


def test_what_stays_of_an_answer_keeps_its_paragraphs_and_lists(engine: Engine, version: str, other: str) -> None:
    written = "All say so [2].\n\n- One [2].\n- Two [2].\n- Three [1].\n- Four [2].\n\nThe last [2]. Not this [1]."
    cited = {"All say so [2].": 2, "- One [2].": 2, "- Two [2].": 2, "- Three [1].": 1, "- Four [2].": 2}
    cited |= {"The last [2].": 2, "Not this [1].": 1}
    places = {said: (written.index(said), written.index(said) + len(said)) for said in cited}
    sentences = [
        {**sentence(said, number), **dict(zip(("start", "end"), places[said], strict=True))}
        for said, number in cited.items()
    ]
    content = {**body(*sentences, cites={1: version, 2: other}), "text": written}
    conversations = Conversations(engine)
    conversations.store_answer(kept("a", content), frozenset({version, other}))
    Redaction(engine).redact_version("ann", version)
    found = conversations.load_answer("ann", "a").body
    withheld = f"{WITHHELD_TEXT}\n\n- Four [2].\n\nThe last [2]. {WITHHELD_TEXT}"
    assert found["text"] == f"All say so [2].\n\n- One [2].\n- Two [2].\n\n{withheld}"
    assert all(found["text"][each["start"] : each["end"]] == each["text"] for each in found["sentences"])


def test_of_a_run_its_question_usage_and_kinds_of_events_stay_and_no_text(
    engine: Engine, jobs: Jobs, version: str
) -> None:
    job = begun(engine, jobs)
    work = Work(job.version_id, frozenset({version}))
    log = RunLog(engine)
    found = RunLogEntry("found", "retrieved", {"passages": 1, "titles": [MARK], "found": [{"text": MARK}]})
    log.append_entries(job, [call("one"), found], seconds=1.0, work=work)
    answer = kept(job.version_id, body(sentence(f"{MARK} [1].", 1), cites={1: version}))
    log.finish_run(job, RunState.COMPLETED, answer.body, seconds=1.0, stored_answer=answer, work=work)
    before = Runs(engine).load_run("ann", job.version_id)
    assert Redaction(engine).redact_version("ann", version) == RedactionCounts(answers=1, runs=1)
    after = Runs(engine).load_run("ann", job.version_id)
    assert (after.question, after.state, after.spent, after.seconds) == ("What?", before.state, before.spent, 1.0)
    events = Runs(engine).list_events("ann", job.version_id)
    assert [each.kind for each in events] == ["start", "call", "retrieved", "end"]
    usage = {"calls": 1, "prompt_tokens": 5, "completion_tokens": 2}
    assert events[1].body == {"purpose": "answer", "usage": usage, "cached": False, "withheld": True}
    assert MARK not in everything(engine)


def test_a_run_under_way_loses_its_worker_and_begins_again_without_what_it_had_read(
    engine: Engine, jobs: Jobs, version: str, other: str
) -> None:
    job = begun(engine, jobs)
    log, work = RunLog(engine), Work(job.version_id, frozenset({version, other}))
    log.append_entries(job, [call("one")], seconds=1.0, work=work)
    Redaction(engine).redact_version("ann", version)
    with pytest.raises(LeaseLostError):
        log.append_entries(job, [call("two")], seconds=1.0, work=work)
    (again,) = jobs.claim(JobKind.RUN)
    assert (again.version_id, again.attempt) == (job.version_id, 1)
    log.start_run(again)
    assert log.load_entry_bodies(job.version_id, ["one"]) == {}
    log.append_entries(again, [call("one")], seconds=1.0, work=Work(job.version_id, frozenset({other})))
    assert set(log.load_entry_bodies(job.version_id, ["one"])) == {"one"}


def test_what_only_the_choice_of_a_strategy_saw_takes_no_answer_along(
    engine: Engine, jobs: Jobs, version: str, other: str
) -> None:
    job = begun(engine, jobs)
    log, seen = RunLog(engine), Work(job.version_id + ROUTE_SUFFIX, frozenset({version}))
    put(engine, "route", seen)
    log.append_entries(
        job, [call("route", "route"), RunLogEntry("routed", "routed", {"reason": MARK})], seconds=1.0, work=seen
    )
    work = Work(job.version_id, frozenset({other}))
    put(engine, "answer", work)
    log.append_entries(job, [call("answer")], seconds=1.0, work=work)
    answer = kept(job.version_id, body(sentence("It stays [1].", 1), cites={1: other}))
    log.finish_run(job, RunState.COMPLETED, answer.body, seconds=1.0, stored_answer=answer, work=work)
    assert Redaction(engine).redact_version("ann", version) == RedactionCounts(replies=1)
    assert known(engine, "route", "answer") == {"answer"}
    events = Runs(engine).list_events("ann", job.version_id)
    assert [MARK in str(each.body) for each in events if each.kind in ("call", "routed")] == [False, False, True]
    found = Conversations(engine).load_answer("ann", job.version_id).body
    assert (found["reasons"], found["searched"]["queries"]) == ([], [])
    assert found["sentences"] == answer.body["sentences"]


def test_a_follow_up_rests_on_what_its_conversation_rests_on(engine: Engine, jobs: Jobs, version: str) -> None:
    conversations = Conversations(engine)
    talk = conversations.start_conversation("ann", "What?")
    first = StoredAnswer("a", "ann", talk, None, "What?", body(sentence(MARK, 1), cites={1: version}), (), 1.0)
    conversations.store_answer(first, frozenset({version}))
    assert conversations.load_used_versions("ann", talk) == Work(talk, frozenset({version}))
    assert conversations.load_used_versions("bob", talk) == Work(talk, frozenset())
    said = [{"role": "user", "text": "What?"}, {"role": "assistant", "text": MARK}]
    run, _ = Runs(engine).create(RunRequest("ann", "And?", history=said, conversation=talk, conversation_id=talk))
    assert Redaction(engine).redact_version("ann", version) == RedactionCounts(answers=1, runs=1)
    assert Runs(engine).load_run("ann", run.id).history == [said[0], {"role": "assistant", "text": WITHHELD_TEXT}]
    assert MARK not in everything(engine)


def test_redaction_that_was_interrupted_goes_on_where_it_was_and_its_receipt_counts_each_once(
    engine: Engine, catalog: Catalog
) -> None:
    document = arrive(catalog)
    version = document.version.id
    for number in range(50):
        put(engine, f"{number:03}", Work(f"work {number:03}", frozenset({version})))
    catalog.delete_document("ann", document.id)

    def die(point: str) -> None:
        raise ConnectionAbortedError(point)

    faultpoints.set_fault_point_hook(die)
    try:
        with pytest.raises(ConnectionAbortedError):
            Redaction(engine).redact_version("ann", version)
    finally:
        faultpoints.set_fault_point_hook(None)
    assert catalog.load_deletion("ann", document.id).replies_removed == 20
    assert Redaction(engine).redact_version("ann", version) == RedactionCounts(replies=30)
    assert catalog.load_deletion("ann", document.id).replies_removed == 50


def test_comments_on_what_rested_on_a_gone_version_are_redacted(engine: Engine, version: str, other: str) -> None:
    feedback = Feedback(engine)
    for identifier, read in (("a", version), ("b", other)):
        content = body(sentence(MARK, 1), cites={1: read})
        Conversations(engine).store_answer(kept(identifier, content), frozenset([read]))
        feedback.record_feedback("ann", identifier, "user:eve", Verdict(Rating.DOWN, f"It is {MARK}.", (1,), (1,)))
    Redaction(engine).redact_version("ann", version)
    said = {each.answer_id: each.verdict for each in feedback.list_latest("ann")}
    assert said["a"] == Verdict(Rating.DOWN, WITHHELD_TEXT)
    assert said["b"] == Verdict(Rating.DOWN, f"It is {MARK}.", (1,), (1,))
