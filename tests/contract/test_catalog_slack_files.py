"""Files from Slack in the catalog: one holder at a time, deletions that come at any moment, and what is kept."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, select

from ingest.storage.db.database import read_transaction
from ingest.storage.db.schema import slack_files
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import LeaseLostError
from ingest.storage.slack.files import SlackFiles
from ingest.storage.slack.records import (
    Audience,
    FileShare,
    IncomingQuestion,
    IncomingShare,
    SharedFile,
    SharedFileState,
    ShareState,
    Surface,
    Workspace,
)
from ingest.storage.slack.store import SlackStore
from ingest.storage.slack.usage import ChannelUsage
from tests.support.catalogs import arrival

TEAM, NOON = "T0HARBOUR", 1_796_558_400.0  # 2026-12-06 12:00 of UTC
FILES = (SharedFile("F1", "a.md"), SharedFile("F2", "b.md"))


class Store:
    """The store with a clock that tests set."""

    def __init__(self, engine: Engine) -> None:
        self.now = NOON
        self.files = SlackFiles(engine, clock=lambda: self.now)
        self.slack = SlackStore(engine, clock=lambda: self.now)
        self.slack.install_workspace(Workspace(TEAM, "ann", "Harbour", "U0BOT", ""))

    def share(self, ts: str = "1.1", *files: SharedFile) -> bool:
        shared = IncomingShare(TEAM, "ann", "C1", ts, ts, "U0ANN")
        return self.files.store_message(shared, files or FILES, join_thread=True)

    def claimed(self) -> FileShare:
        (share,) = self.files.claim(limit=5)
        return share


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


def test_a_message_is_stored_once_and_held_by_one(store: Store) -> None:
    assert store.share()
    assert not store.share()
    held = store.claimed()
    assert [each.name for each in held.files] == ["a.md", "b.md"]
    assert store.files.claim() == []
    assert store.slack.has_joined_thread(TEAM, "C1", "1.1")
    store.now += 31
    again = store.claimed()
    for late in (store.files.renew, store.files.mark_posting_started, lambda each: store.files.requeue(each, 0)):
        with pytest.raises(LeaseLostError):
            late(held)
    store.files.requeue(again, 5)
    assert store.files.claim() == []
    store.now += 5
    assert store.claimed().fence == 3


def test_an_event_that_comes_again_is_no_second_question(store: Store) -> None:
    asked = IncomingQuestion(TEAM, "ann", "C1", "1.1", "1.1", "U0ANN", Surface.CHANNEL, "What is it?")
    assert store.slack.store_question(asked, {"event:1", "message:C1:1.1"}) is not None
    assert store.slack.store_question(asked, {"event:1", "message:C1:1.1"}) is None
    assert store.slack.store_question(asked, {"event:2", "message:C1:1.1"}) is None
    assert store.slack.count_open_questions() == 1


ENDS: dict[str, Callable[[Store, FileShare], None]] = {
    "ended": lambda store, share: store.files.end_share(share, ShareState.ENDED),
    "put back": lambda store, share: store.files.requeue(share, 600),
}


@pytest.mark.parametrize("as_it", ENDS)
def test_a_deletion_that_comes_while_a_message_is_held_is_seen_at_once_after(store: Store, as_it: str) -> None:
    store.share()
    held = store.claimed()
    for file in held.files:
        held = store.files.update_file(held, SharedFile(file.file_id, file.name, SharedFileState.READY))
    assert store.files.mark_file_deleted(TEAM, "F2") == 1
    ENDS[as_it](store, held)
    again = store.claimed()
    assert [each.gone_at for each in again.files] == [None, NOON]
    for file in again.files:
        again = store.files.update_file(again, SharedFile(file.file_id, file.name, SharedFileState.GONE))
    store.files.end_share(again, ShareState.ENDED)
    assert store.files.count_open_shares() == 0
    assert store.files.mark_file_deleted(TEAM, "F2") == 0


def test_a_message_that_ended_is_taken_again_when_it_is_deleted(store: Store) -> None:
    store.share()
    store.files.end_share(store.claimed(), ShareState.GIVEN_UP, "channel_not_found")
    assert store.files.mark_file_deleted("T0OTHER", "F1") == 0
    assert store.files.mark_message_deleted(TEAM, "ann", "C1", "1.1") == 1
    assert all(each.gone_at == NOON for each in store.claimed().files)
    store.files.mark_message_deleted(TEAM, "ann", "C1", "2.2")
    assert not store.share("2.2"), "it was deleted before it came"


def test_a_question_waits_for_the_files_of_its_message_for_ten_minutes(store: Store) -> None:
    store.share()
    asked = IncomingQuestion(TEAM, "ann", "C1", "1.1", "1.1", "U0ANN", Surface.CHANNEL, "What is it?")
    store.slack.store_question(asked, {"event:1"})
    assert store.slack.claim() == []
    store.now += 601
    assert len(store.slack.claim()) == 1


def test_what_is_forgotten_is_what_no_document_came_from(store: Store, engine: Engine, catalog: Catalog) -> None:
    document = catalog.accept_upload(arrival(key="slack:C1")).document
    for ts in ("1.1", "2.2"):
        store.share(ts, SharedFile(f"F{ts}", "a.md"))
        held = store.claimed()
        became = document.id if ts == "1.1" else None
        store.files.update_file(held, SharedFile(f"F{ts}", "a.md", SharedFileState.READY, became, Audience.CHANNEL))
        store.files.end_share(held, ShareState.ENDED)
    assert store.files.is_shared_document(document.id)
    assert store.files.list_restricted_channels(TEAM) == {"C1"}
    store.now += 1
    assert store.files.delete_ended_shares(store.now) == 1
    catalog.delete_document("ann", document.id)
    with read_transaction(engine) as connection:
        assert connection.execute(select(slack_files.c.name)).scalars().all() == [""]
    assert store.files.delete_ended_shares(store.now) == 1
    assert store.files.list_restricted_channels(TEAM) == set()


def test_usage_counts_questions_and_files_by_day_and_channel(store: Store, engine: Engine, catalog: Catalog) -> None:
    catalog.accept_upload(arrival("b", key="slack:C2"))
    for number, later in enumerate((0, 1, 86_400)):
        store.now = NOON + later
        asked = IncomingQuestion(TEAM, "ann", "C1", "1.1", f"{number}.0", "U0ANN", Surface.CHANNEL, "What is it?")
        store.slack.store_question(asked, {f"event:{number}"})
    store.share()

    def listed(**choices: object) -> list[tuple[str, str, int, int, int]]:
        usual = {"channel": None, "start_day": "", "end_day": "9", "skip": 0, "limit": 10}
        found = ChannelUsage(engine).list_days("ann", **{**usual, **choices})  # type: ignore[arg-type]
        return [(each.day, each.channel, each.questions, each.files, each.documents) for each in found]

    mine = [("2026-12-07", "C1", 1, 2, 0), ("2026-12-06", "C1", 2, 0, 0)]
    assert listed(channel="C1") == mine
    assert listed(channel="C1", end_day="2026-12-06") == mine[1:]
    assert listed(channel="C1", skip=1, limit=1) == mine[1:]
    assert [each[1:] for each in listed(channel="C2")] == [("C2", 0, 0, 1)]
    assert ChannelUsage(engine).list_days("bob", channel=None, start_day="", end_day="9", skip=0, limit=10) == []
