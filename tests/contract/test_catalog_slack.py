"""Questions from Slack in the catalog: one of a thread at a time, and those whose run waits for somebody."""

import pytest
from sqlalchemy import Engine, update

from ingest.storage.answers.run_records import RunRequest
from ingest.storage.answers.runs import Runs
from ingest.storage.db.database import write_transaction
from ingest.storage.db.schema import jobs
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import LeaseLostError
from ingest.storage.slack.records import IncomingQuestion, QuestionState, SlackQuestion, Surface, Workspace
from ingest.storage.slack.store import SlackStore

TEAM, NOON = "T0HARBOUR", 1_796_558_400.0  # 2026-12-06 12:00 of UTC


class Store:
    """The store with a clock that tests set, and runs to wait for."""

    def __init__(self, engine: Engine) -> None:
        self.now = NOON
        self.engine = engine
        self.slack = SlackStore(engine, clock=lambda: self.now)
        self.slack.install_workspace(Workspace(TEAM, "ann", "Harbour", "U0BOT", ""))

    def ask(self, ts: str) -> str:
        asked = IncomingQuestion(TEAM, "ann", "C1", "1.1", ts, "U0ANN", Surface.CHANNEL, "Who?")
        found = self.slack.store_question(asked, {f"message:{ts}"})
        assert found is not None
        return found

    def claimed(self) -> SlackQuestion:
        (question,) = self.slack.claim(limit=5)
        return question

    def paused(self) -> tuple[SlackQuestion, str]:
        """Claim the next question, and let it wait for a run that waits; returns the run's id too."""
        question = self.claimed()
        run, _ = Runs(self.engine).create(RunRequest("ann", "Who?"))
        self.set_run(run.id, "paused")
        question = self.slack.record_run(question, run.id)
        self.slack.pause(question)
        return question, run.id

    def set_run(self, run_id: str, state: str) -> None:
        with write_transaction(self.engine) as connection:
            connection.execute(update(jobs).where(jobs.c.version_id == run_id).values(state=state))


@pytest.fixture
def store(engine: Engine, catalog: Catalog) -> Store:
    return Store(engine)


@pytest.mark.parametrize("goes_on", ["queued", "cancelled"])
def test_a_question_that_waits_is_nobodys_until_its_run_goes_on_or_ends(store: Store, goes_on: str) -> None:
    store.ask("1.1")
    held, run = store.paused()
    for late in (store.slack.renew, store.slack.mark_posting_started, store.slack.pause):
        with pytest.raises(LeaseLostError):
            late(held)
    store.now += 5 * 86_400
    assert store.slack.claim(limit=5) == []
    assert store.slack.count_open_questions() == 0
    store.set_run(run, goes_on)
    again = store.claimed()
    assert (again.id, again.run_id, again.state) == (held.id, run, QuestionState.ANSWERING)
    assert (again.attempt, again.since, again.created_at) == (1, store.now, NOON)
    assert store.slack.claim(limit=5) == []
    store.now += 31  # its process has died
    assert store.claimed().since == again.since


def test_a_question_that_waits_keeps_no_other_of_its_thread_waiting_but_is_answered_alone(store: Store) -> None:
    first, second = store.ask("1.1"), store.ask("1.2")
    _, run = store.paused()
    other = store.claimed()
    assert other.id == second
    store.set_run(run, "queued")
    assert store.slack.claim(limit=5) == []  # the other one is being answered
    third = store.ask("1.3")
    store.slack.end_question(other, QuestionState.ANSWERED)
    again = store.claimed()
    assert again.id == first
    store.slack.end_question(again, QuestionState.ANSWERED)
    assert store.claimed().id == third


def test_a_question_that_waits_is_among_those_that_are_stopped(store: Store) -> None:
    first = store.ask("1.1")
    store.paused()
    (stopped,) = store.slack.stop_questions(TEAM, "C1", "1.1")
    assert stopped.id == first
    assert store.slack.is_question_stopped(stopped)
