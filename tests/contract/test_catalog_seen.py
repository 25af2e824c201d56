"""The names of documents that an answer has only seen are masked, and the answer is not withheld.

Of documents that it used, no sentence that names them is left when they are hidden.
"""

import random
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text

from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.feedback import Feedback
from ingest.storage.answers.feedback_records import Rating, Verdict
from ingest.storage.answers.masking import CLOSED_NAME, DELETED_NAME
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.redaction import CLOSED_TEXT, WITHHELD_TEXT, Redaction
from ingest.storage.answers.replies import Replies, StoredReply
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import RunLogEntry, RunRequest, RunSpending, RunState
from ingest.storage.answers.runs import Runs
from ingest.storage.answers.shares import Shares
from ingest.storage.db.schema import work_versions
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import (
    ROUTE_SUFFIX,
    Document,
    DocumentChange,
    UsedVersions,
    Work,
)
from ingest.storage.documents.works import record_versions
from ingest.storage.errors import SourceGoneError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job, JobKind
from rlm.untrusted import list_document_names
from tests.support.catalogs import arrival, embedded, searchable

EVE, BOB = frozenset({"user:eve"}), frozenset({"user:bob"})
EVERYBODY = None
READERS = (EVE, BOB, EVERYBODY)


def add(catalog: Catalog, jobs: Jobs, name: str) -> Document:
    document = catalog.accept_upload(replace(arrival(name[::-1]), name=f"{name}.pdf")).document
    searchable(jobs)
    embedded(jobs)
    return catalog.load_document("ann", document.id)


def swap(catalog: Catalog, jobs: Jobs, document: Document, content: str) -> str:
    """Replace the content of a document, and return the version that it had."""
    old = catalog.load_document("ann", document.id).active_version_id
    assert old is not None
    catalog.replace_document(replace(arrival(content), name=document.name), document.id, None)
    searchable(jobs)
    embedded(jobs)
    return old


def close(catalog: Catalog, document: Document, readers: frozenset[str] | None) -> None:
    change = DocumentChange({}, None, readers, frozenset({"readers"}))
    catalog.change_document("ann", document.id, change, None)


def names_of(document: Document) -> tuple[str, ...]:
    return list_document_names("", document.name)


def seen(*documents: Document) -> dict[str, frozenset[str]]:
    return {each.version.id: frozenset(filter(None, names_of(each))) for each in documents}


def make(identifier: str, *sentences: str, cites: tuple[Document, ...] = (), talk: str | None = None) -> StoredAnswer:
    """An answer with these sentences; those with a marker cite that document, counted from 1."""
    said, marked = "", []
    for each in sentences:
        begin = len(said) + 1 if said else 0
        said = f"{said} {each}" if said else each
        numbers = [number for number in range(1, len(cites) + 1) if f"[{number}]" in each]
        check = "verified" if numbers else "unchecked"
        at = {"start": begin, "end": len(said), "citations": numbers, "check": check, "reason": "", "quotes": []}
        marked.append({"text": each, **at})
    place: dict[str, Any] = {
        "heading_path": [],
        "page": None,
        "start": 0,
        "end": 1,
        "quote": "Read.",
        "verified": True,
        "place": "",
    }
    body: dict[str, Any] = {
        "text": said,
        "sentences": marked,
        "citations": [
            {"number": number, "document_id": each.id, "version_id": each.version.id, "title": "", **place}
            for number, each in enumerate(cites, 1)
        ],
        "searched": {"passages": 1, "read": 1, "documents": [], "queries": []},
        "question": "What?",
        "reasons": [],
        "notes": [],
        "result": None,
        "table": None,
    }
    return StoredAnswer(identifier, "ann", talk, None, "What?", body, (), 1.0)


def everything(engine: Engine) -> str:
    with engine.connect() as connection:
        tables = ("answers", "runs", "run_events", "replies", "work_versions", "feedback", "jobs", "gone_versions")
        return str([connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables])


def stored_names(engine: Engine, work: str) -> dict[str, list[str] | None]:
    query = select(work_versions.c.version_id, work_versions.c.seen).where(work_versions.c.work_id == work)
    with engine.connect() as connection:
        return {row.version_id: row.seen for row in connection.execute(query)}


@pytest.fixture
def brandt(catalog: Catalog, jobs: Jobs) -> Document:
    return add(catalog, jobs, "Brandt_2022")


@pytest.fixture
def read(catalog: Catalog, jobs: Jobs) -> Document:
    return add(catalog, jobs, "Read")


def test_deleting_a_document_that_was_only_named_masks_its_name_and_leaves_the_answer(
    engine: Engine, catalog: Catalog, brandt: Document, read: Document
) -> None:
    conversations, feedback = Conversations(engine), Feedback(engine)
    answer = make("a", "Read.pdf says so [1].", "brandt 2022 may say more.", "That is all.", cites=(read,))
    conversations.store_answer(answer, frozenset({read.version.id}), seen(brandt))
    feedback.record_feedback("ann", "a", "user:eve", Verdict(Rating.DOWN, "Read Brandt_2022.pdf!", (1,), (1,)))
    catalog.delete_document("ann", brandt.id)
    counts = Redaction(engine).redact_version("ann", brandt.version.id)
    assert counts.answers == 1
    found = conversations.load_answer("ann", "a").body
    assert found["text"] == f"Read.pdf says so [1]. {DELETED_NAME} may say more. That is all."
    assert [each["text"] for each in found["sentences"]][1:] == [f"{DELETED_NAME} may say more.", "That is all."]
    assert found["citations"] == answer.body["citations"]
    (entry,) = feedback.list_latest("ann")
    assert entry.verdict == Verdict(Rating.DOWN, f"Read {DELETED_NAME}!", (1,), (1,))
    assert "brandt" not in everything(engine).lower()
    if engine.url.database and engine.dialect.name == "sqlite":
        folder = Path(engine.url.database).parent
        assert b"brandt" not in b"".join(each.read_bytes() for each in folder.glob("catalog.sqlite*")).lower()


def test_deleting_a_used_document_still_withholds_what_only_named_others(
    engine: Engine, catalog: Catalog, brandt: Document, read: Document
) -> None:
    conversations = Conversations(engine)
    conversations.store_answer(make("a", "See Brandt_2022."), frozenset({read.version.id}), seen(brandt))
    catalog.delete_document("ann", read.id)
    Redaction(engine).redact_version("ann", read.version.id)
    assert conversations.load_answer("ann", "a").body["text"] == WITHHELD_TEXT


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_no_sentence_that_names_a_used_document_is_left_once_the_document_is_deleted_or_replaced(
    engine: Engine, catalog: Catalog, jobs: Jobs, brandt: Document, read: Document, change: str
) -> None:
    conversations, used = Conversations(engine), frozenset({brandt.version.id, read.version.id})
    conversations.store_answer(make("a", "Read has 5 [1].", "Unlike brandt 2022, it has 5 [1].", cites=(read,)), used)
    if change == "deleted":
        catalog.delete_document("ann", brandt.id)
    else:
        swap(catalog, jobs, brandt, "Second")
    Redaction(engine).redact_version("ann", brandt.version.id)
    found = conversations.load_answer("ann", "a").body
    assert found["text"] == f"Read has 5 [1]. {WITHHELD_TEXT}"
    assert [each["text"] for each in found["sentences"]] == ["Read has 5 [1].", WITHHELD_TEXT]
    if change == "deleted":
        assert "brandt" not in everything(engine).lower()


def test_an_answer_that_is_stored_after_the_redaction_of_a_document_that_it_used_keeps_no_sentence(
    engine: Engine, catalog: Catalog, brandt: Document, read: Document
) -> None:
    catalog.delete_document("ann", brandt.id)
    Redaction(engine).redact_version("ann", brandt.version.id)
    answer = make("a", "Unlike Brandt_2022, it has 5 [1].", cites=(read,))  # begun before the deletion
    stored = Conversations(engine).store_answer(answer, frozenset({brandt.version.id, read.version.id}))
    assert stored.body["text"] == WITHHELD_TEXT


@pytest.mark.parametrize("change", ["closed", "deleted"])
def test_a_link_shows_no_sentence_that_names_a_used_document_which_its_reader_may_not_see(
    engine: Engine, catalog: Catalog, brandt: Document, read: Document, change: str
) -> None:
    answer = make("a", "Read has 5 [1].", "Unlike Brandt_2022, it has 5 [1].", "It is so.", cites=(read,))
    Conversations(engine).store_answer(answer, frozenset({brandt.version.id, read.version.id}))
    if change == "closed":
        close(catalog, brandt, EVE)
    else:
        catalog.delete_document("ann", brandt.id)  # not redacted yet
    for readers in READERS:
        (shown,) = Shares(engine).redact_for_readers(readers, [answer])
        is_shown = change == "closed" and readers is not BOB
        assert shown.body["text"] == (answer.body["text"] if is_shown else f"Read has 5 [1]. {CLOSED_TEXT}")


@pytest.mark.parametrize("order", [("used", "seen"), ("seen", "used"), ("seen", "used", "seen")])
def test_what_was_used_stays_used_whenever_its_name_was_seen(
    engine: Engine, catalog: Catalog, brandt: Document, order: tuple[str, ...]
) -> None:
    used = UsedVersions("a")
    for each in order:
        work = Work("a", frozenset({brandt.version.id})) if each == "used" else Work("a", frozenset(), seen(brandt))
        with engine.begin() as connection:
            assert record_versions(connection, work)
        used.add_versions(work.versions)
        used.add_seen(work.seen)
    assert stored_names(engine, "a") == {brandt.version.id: None}
    assert used.work == Work("a", frozenset({brandt.version.id}))
    Conversations(engine).store_answer(make("a", "Brandt_2022 says so."), used.work.versions, used.work.seen)
    catalog.delete_document("ann", brandt.id)
    Redaction(engine).redact_version("ann", brandt.version.id)
    assert Conversations(engine).load_answer("ann", "a").body["text"] == WITHHELD_TEXT


def test_replies_and_the_log_of_a_run_are_removed_for_a_document_that_their_prompts_named(
    engine: Engine, catalog: Catalog, jobs: Jobs, brandt: Document
) -> None:
    job, work = begin_run(engine, jobs, brandt)
    log, answer = RunLog(engine), make(job.version_id, "None is like Brandt_2022.")
    Replies(engine).store_replies("ann", [StoredReply("key", "Brandt_2022", 1, 1, 1)], work)
    log.append_entries(job, [call("key")], seconds=1.0, work=work)
    log.finish_run(job, RunState.COMPLETED, answer.body, seconds=1.0, stored_answer=answer, work=work)
    catalog.delete_document("ann", brandt.id)
    Redaction(engine).redact_version("ann", brandt.version.id)
    assert Replies(engine).load_replies("ann", ["key"]) == {}
    run = Runs(engine).load_run("ann", job.version_id)
    assert run.answer is not None
    assert run.answer["text"] == f"None is like {DELETED_NAME}."
    assert "Brandt" not in everything(engine)


def test_a_run_in_progress_goes_on_without_a_deleted_document_that_it_has_only_named(
    engine: Engine, catalog: Catalog, jobs: Jobs, brandt: Document
) -> None:
    job, work = begin_run(engine, jobs, brandt)
    RunLog(engine).append_entries(job, [call("key")], seconds=1.0, work=work)
    catalog.delete_document("ann", brandt.id)
    with pytest.raises(SourceGoneError):
        RunLog(engine).append_entries(job, [call("other")], seconds=1.0, work=work)
    Redaction(engine).redact_version("ann", brandt.version.id)
    (again,) = jobs.claim(JobKind.RUN)
    RunLog(engine).start_run(again)
    assert RunLog(engine).load_entry_bodies(job.version_id, ["key"]) == {}
    RunLog(engine).append_entries(again, [call("key")], seconds=1.0, work=Work(job.version_id, frozenset()))
    assert "Brandt" not in str(stored_names(engine, job.version_id))


def begin_run(engine: Engine, jobs: Jobs, document: Document) -> tuple[Job, Work]:
    Runs(engine).create(RunRequest("ann", "What?"))
    (job,) = jobs.claim(JobKind.RUN)
    RunLog(engine).start_run(job)
    return job, Work(job.version_id, frozenset(), seen(document))


def call(key: str) -> RunLogEntry:
    usage = {"calls": 1, "prompt_tokens": 5, "completion_tokens": 2}
    members = {"purpose": "answer", "prompt": "Brandt_2022", "text": "No.", "cached": False, "usage": usage}
    return RunLogEntry(key, "call", members, RunSpending(1, 0, 5, 2))


def test_names_that_the_choice_of_a_strategy_has_seen_are_masked_in_the_whole_answer(
    engine: Engine, catalog: Catalog, brandt: Document
) -> None:
    answer = make("a", "It is in Brandt_2022.")
    answer = replace(answer, body={**answer.body, "reasons": ["Direct: Brandt_2022 has it.", "Short."]})
    with engine.begin() as connection:
        record_versions(connection, Work("a" + ROUTE_SUFFIX, frozenset(), seen(brandt)))
    Conversations(engine).store_answer(answer)
    close(catalog, brandt, EVE)
    for shown in (Conversations(engine).mask_names, Shares(engine).redact_for_readers):
        (masked,) = shown(BOB, [answer])
        assert (masked.body["text"], masked.body["reasons"][1]) == (f"It is in {CLOSED_NAME}.", "Short.")
    catalog.delete_document("ann", brandt.id)
    Redaction(engine).redact_version("ann", brandt.version.id)
    found = Conversations(engine).load_answer("ann", "a").body
    assert found["reasons"] == [f"Direct: {DELETED_NAME} has it.", "Short."]
    assert "Brandt" not in everything(engine)


def test_who_may_not_see_a_document_sees_no_name_of_it_wherever_its_answer_is_shown(
    engine: Engine, catalog: Catalog, jobs: Jobs, brandt: Document
) -> None:
    job, work = begin_run(engine, jobs, brandt)
    conversations, feedback = Conversations(engine), Feedback(engine)
    talk = conversations.start_conversation("ann", "What?")
    answer = make(job.version_id, "None is like Brandt_2022.", talk=talk)
    RunLog(engine).finish_run(job, RunState.COMPLETED, answer.body, seconds=1.0, stored_answer=answer, work=work)
    feedback.record_feedback("ann", answer.id, "user:eve", Verdict(Rating.DOWN, "Is Brandt_2022 none?", (), ()))
    close(catalog, brandt, EVE)
    run = Runs(engine).load_run("ann", answer.id)
    for readers, name in ((EVE, "Brandt_2022"), (BOB, CLOSED_NAME), (EVERYBODY, "Brandt_2022")):
        shown = [*conversations.mask_names(readers, [answer]), *Shares(engine).redact_for_readers(readers, [answer])]
        assert [each.body["text"] for each in shown] == [f"None is like {name}."] * 2
        of_run = Runs(engine).mask_names(run, readers).answer
        assert of_run is not None
        assert of_run["text"] == f"None is like {name}."
        (before,) = conversations.list_last_exchanges("ann", talk, max_characters=100, readers=readers)
        assert before.answer == f"None is like {name}."
        (entry,) = feedback.list_latest("ann", readers=readers)
        assert entry.verdict.comment == f"Is {name} none?"
        assert Shares(engine).has_inaccessible_sources(readers, answer.id) == (readers is BOB)


def test_a_replaced_document_that_was_only_named_changes_nothing_until_it_is_deleted(
    engine: Engine, catalog: Catalog, jobs: Jobs, brandt: Document
) -> None:
    conversations, replies = Conversations(engine), Replies(engine)
    conversations.store_answer(make("a", "See Brandt_2022."), seen=seen(brandt))
    replies.store_replies("ann", [StoredReply("key", "See it.", 1, 1, 1)], Work("a", frozenset(), seen(brandt)))
    old = swap(catalog, jobs, brandt, "Second")
    assert Redaction(engine).redact_version("ann", old).answers == 0
    assert set(replies.load_replies("ann", ["key"])) == {"key"}
    late = make("b", "See Brandt_2022 too.")  # begun before the replacement
    conversations.store_answer(late, seen=seen(brandt))
    for identifier in ("a", "b"):
        assert conversations.load_answer("ann", identifier).body["text"].startswith("See Brandt_2022")
        assert old not in stored_names(engine, identifier)
    now = catalog.load_document("ann", brandt.id).active_version_id
    assert now is not None
    catalog.delete_document("ann", brandt.id)
    Redaction(engine).redact_version("ann", now)
    assert "Brandt" not in everything(engine)


def test_an_answer_that_is_stored_after_the_deletion_of_a_document_has_no_name_of_it(
    engine: Engine, catalog: Catalog, brandt: Document
) -> None:
    conversations, replies = Conversations(engine), Replies(engine)
    replies.store_replies("ann", [StoredReply("key", "See Brandt_2022", 1, 1, 1)], Work("b", frozenset(), seen(brandt)))
    catalog.delete_document("ann", brandt.id)
    conversations.store_answer(make("a", "See Brandt_2022."), seen=seen(brandt))
    Redaction(engine).redact_version("ann", brandt.version.id)
    for identifier in ("b", "c"):
        stored = conversations.store_answer(make(identifier, "See Brandt_2022."), seen=seen(brandt))
        assert stored.body["text"] == f"See {DELETED_NAME}."
    assert "Brandt" not in everything(engine)


def test_what_was_used_and_redacted_in_the_meantime_is_withheld_when_the_answer_is_stored(
    engine: Engine, catalog: Catalog, brandt: Document
) -> None:
    used = frozenset({brandt.version.id})
    Replies(engine).store_replies("ann", [StoredReply("key", "It says so.", 1, 1, 1)], Work("a", used))
    catalog.delete_document("ann", brandt.id)
    Redaction(engine).redact_version("ann", brandt.version.id)
    assert Conversations(engine).store_answer(make("a", "It says so."), used).body["text"] == WITHHELD_TEXT


def test_a_follow_up_has_seen_what_its_conversation_has_seen(
    engine: Engine, catalog: Catalog, brandt: Document, read: Document
) -> None:
    conversations = Conversations(engine)
    talk = conversations.start_conversation("ann", "What?")
    conversations.store_answer(make("a", "See Brandt_2022.", talk=talk), seen=seen(brandt, read))
    conversations.store_answer(make("b", "It is so.", talk=talk), frozenset({read.version.id}))
    work = conversations.load_used_versions("ann", talk)
    assert work == Work(talk, frozenset({read.version.id}), seen(brandt))
    assert UsedVersions("c", work).work == replace(work, id="c")
    said = [{"role": "user", "text": "What?"}, {"role": "assistant", "text": "See Brandt_2022."}]
    run, _ = Runs(engine).create(RunRequest("ann", "And?", history=said, conversation=talk, conversation_id=talk))
    assert stored_names(engine, run.id) == {read.version.id: None, brandt.version.id: sorted(names_of(brandt)[1:3])}
    catalog.delete_document("ann", brandt.id)
    Redaction(engine).redact_version("ann", brandt.version.id)
    assert Runs(engine).load_run("ann", run.id).history == [
        said[0],
        {"role": "assistant", "text": f"See {DELETED_NAME}."},
    ]
    assert "Brandt" not in everything(engine)


_NUMBERS = count(1)
STEPS = ("ask", "ask", "finish", "close_one", "open_one", "delete_one", "replace_one", "redact")


@dataclass
class Asked:
    """An answer: the documents that it used and saw, and those whose names it says."""

    answer: StoredAnswer
    work: Work
    used: frozenset[str]
    said: frozenset[str]


@dataclass
class World:
    """A catalog, and a plain model of what it should show."""

    engine: Engine
    catalog: Catalog
    jobs: Jobs
    chance: random.Random
    documents: dict[str, Document] = field(default_factory=dict)
    readers: dict[str, frozenset[str] | None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)  # deleted
    changed: set[str] = field(default_factory=set)  # deleted or replaced
    pending: list[str] = field(default_factory=list)  # versions to redact
    begun: list[Asked] = field(default_factory=list)
    stored: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conversations = Conversations(self.engine)
        self.talk = self.conversations.start_conversation("ann", "What?")
        for _ in range(4):
            document = add(self.catalog, self.jobs, f"Zq{next(_NUMBERS)}_ledger")
            self.documents[document.id], self.readers[document.id] = document, None

    def is_shown(self, document: str, readers: frozenset[str] | None) -> bool:
        listed = self.readers[document]
        return document not in self.gone and (readers is None or listed is None or bool(listed & readers))

    def ask(self) -> None:
        """Begin an answer, as a model that repeats the conversation and says each name that it was shown."""
        reader = self.chance.choice(READERS)
        history = self.conversations.list_last_exchanges("ann", self.talk, max_characters=10_000, readers=reader)
        earlier = self.conversations.load_used_versions("ann", self.talk)
        used = UsedVersions(f"answer {next(_NUMBERS)}", earlier)
        cited, said = [], []
        for document in self.documents.values():
            if self.is_shown(document.id, reader) and (how := self.chance.choice(["used", "seen", ""])):
                now = self.catalog.load_document("ann", document.id)
                if how == "used":
                    cited.append(now)
                    used.add_versions([now.version.id])
                else:
                    said.append(now)
                    used.add_seen({now.version.id: names_of(document)})
        written = (self.chance.choice([*names_of(each)[1:], names_of(each)[1].upper()]) for each in said)
        sentences = [f"Sentence {number} [{number}]." for number in range(1, len(cited) + 1)]
        sentences += [f"Nothing in {name}." for name in written]
        repeated = [each.answer for each in history if WITHHELD_TEXT not in each.answer]
        sentences += [each for each in repeated if self.chance.random() < 0.5]
        if not sentences:
            return
        answer = make(
            used.work.id, *sentences, cites=tuple(cited), talk=self.talk if self.chance.random() < 0.7 else None
        )
        if self.chance.random() < 0.5:
            reply = StoredReply(f"key of {answer.id}", answer.body["text"], 1, 1, 1)
            Replies(self.engine).store_replies("ann", [reply], used.work)
        of_version = {version: document for document in self.documents for version in self._versions(document)}
        everything_used = frozenset(of_version[each] for each in used.work.versions)
        self.begun.append(Asked(answer, used.work, everything_used, frozenset(each.id for each in said)))

    def _versions(self, document: str) -> list[str]:
        query = text("SELECT id FROM versions WHERE document_id = :document")
        with self.engine.connect() as connection:
            return list(connection.execute(query, {"document": document}).scalars())

    def finish(self) -> None:
        for each in self.begun:
            self.conversations.store_answer(each.answer, each.work.versions, each.work.seen)
        self.stored += self.begun
        self.begun = []

    def close_one(self) -> None:
        self._change(self.chance.choice([EVE, BOB]))

    def open_one(self) -> None:
        self._change(None)

    def _change(self, readers: frozenset[str] | None) -> None:
        if document := self._choose():
            close(self.catalog, document, readers)
            self.readers[document.id] = readers

    def delete_one(self) -> None:
        if document := self._choose():
            deleted = self.catalog.delete_document("ann", document.id)
            self.gone.add(document.id)
            self.changed.add(document.id)
            self.pending += (each.id for each in deleted.leaving)

    def replace_one(self) -> None:
        if document := self._choose():
            self.pending.append(swap(self.catalog, self.jobs, document, f"content {next(_NUMBERS)}"))
            self.changed.add(document.id)

    def redact(self) -> None:
        for version in self.pending:
            Redaction(self.engine).redact_version("ann", version)
        self.pending = []

    def _choose(self) -> Document | None:
        left = [each for each in self.documents.values() if each.id not in self.gone]
        return self.chance.choice(left) if left else None

    def check(self) -> None:
        for asked in self.stored:
            kept = self.conversations.load_answer("ann", asked.answer.id)
            for readers in READERS:
                (own,) = self.conversations.mask_names(readers, [kept])
                (shared,) = Shares(self.engine).redact_for_readers(readers, [kept])
                self._check_shown(asked, own, readers)
                self._check_shown(asked, shared, readers, is_shared=True)

    def _check_shown(
        self, asked: Asked, shown: StoredAnswer, readers: frozenset[str] | None, *, is_shared: bool = False
    ) -> None:
        said = str(shown.body).lower()
        hidden = {each for each in self.documents if not self.is_shown(each, readers)}
        for document in hidden if is_shared else hidden - asked.used:
            assert names_of(self.documents[document])[2].lower() not in said
        is_withheld = asked.used & (hidden | self.changed if is_shared else self.changed)
        if not is_withheld:
            assert WITHHELD_TEXT not in shown.body["text"]
            assert CLOSED_TEXT not in shown.body["text"]
            for document in asked.said - hidden:
                assert names_of(self.documents[document])[2].lower() in said
        for each in shown.body["sentences"]:
            assert shown.body["text"][each["start"] : each["end"]] == each["text"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=4, max_size=16), st.randoms(use_true_random=False))
def test_no_reader_sees_the_name_of_a_closed_or_deleted_document_and_no_answer_is_withheld_for_it(
    engine: Engine, catalog: Catalog, jobs: Jobs, steps: list[str], chance: random.Random
) -> None:
    world = World(engine, catalog, jobs, chance)
    for step in [*steps, "finish"]:
        getattr(world, step)()
        world.check()
    world.redact()
    world.check()
    left = everything(engine).lower()
    for document in world.gone:
        assert names_of(world.documents[document])[2].lower() not in left
