"""Caches of replies: the one in the catalog, on each database, and the one in memory."""

from collections.abc import Iterator

import pytest

from ingest.storage.answers.replies import Replies, StoredReply
from ingest.storage.db.database import open_database
from rlm.llm.cache import ReplyCache
from tests.fakes.memory_reply_cache import MemoryReplyCache
from tests.support.postgres import Postgres, disposed

MAX_BYTES = 40_000


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def cache(request: pytest.FixtureRequest, clock: Clock, tmp_path: object) -> Iterator[ReplyCache]:
    if request.param == "memory":
        yield MemoryReplyCache(MAX_BYTES)
        return
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    url = server.catalog_database() if server else f"sqlite:///{tmp_path}/catalog.sqlite"
    with disposed(open_database(url)) as engine:
        yield Replies(engine, max_bytes=MAX_BYTES, clock=clock)
    if server:
        server.drop(url)


def reply(number: int, text: str = "It is so.") -> StoredReply:
    return StoredReply(f"{number:064d}", text, 1, 120, 9)


def keys(*numbers: int) -> list[str]:
    return [f"{number:064d}" for number in numbers]


def test_what_was_put_is_there_for_its_tenant_alone(cache: ReplyCache) -> None:
    cache.store_replies("ann", [reply(1), reply(2, "東京 \N{ROCKET}")])
    assert cache.load_replies("ann", keys(1, 2, 3)) == {
        each.key: each for each in (reply(1), reply(2, "東京 \N{ROCKET}"))
    }
    assert cache.load_replies("bob", keys(1, 2)) == {}
    assert cache.load_replies("ann", []) == {}


def test_the_first_reply_stays(cache: ReplyCache) -> None:
    cache.store_replies("ann", [reply(1)])
    cache.store_replies("ann", [reply(1, "Otherwise."), reply(2)])
    assert cache.load_replies("ann", keys(1))[reply(1).key].text == "It is so."
    assert len(cache.load_replies("ann", keys(1, 2))) == 2


def test_more_than_a_query_takes_is_put_and_found(cache: ReplyCache) -> None:
    small = [reply(number, "") for number in range(150)]
    cache.store_replies("ann", small)
    assert len(cache.load_replies("ann", keys(*range(1_500)))) == 150


def test_when_it_is_full_those_that_were_not_used_for_longest_go(cache: ReplyCache, clock: Clock) -> None:
    for number in range(10):
        clock.now += 3_600
        cache.store_replies("ann", [reply(number, "x" * 3_800)])
    cache.store_replies("bob", [reply(0, "x" * 3_800)])
    clock.now += 3_600
    cache.load_replies("ann", keys(0, 1))
    clock.now += 3_600
    cache.store_replies("ann", [reply(10, "x" * 3_800), reply(11, "x" * 3_800)])
    left = set(cache.load_replies("ann", keys(*range(12))))
    assert sum(4_000 for _ in left) <= MAX_BYTES
    assert {*keys(0, 1, 10, 11)} <= left
    assert not left & {*keys(2, 3)}
    assert cache.load_replies("bob", keys(0))


def test_a_reply_that_would_take_most_of_the_room_is_not_kept(cache: ReplyCache) -> None:
    cache.store_replies("ann", [reply(1), reply(2, "x" * MAX_BYTES)])
    assert set(cache.load_replies("ann", keys(1, 2))) == set(keys(1))


def test_a_tenants_replies_can_be_forgotten(cache: Replies | MemoryReplyCache) -> None:
    cache.store_replies("ann", [reply(1), reply(2)])
    cache.store_replies("bob", [reply(1)])
    assert cache.delete_replies("ann") == 2
    assert cache.load_replies("ann", keys(1, 2)) == {}
    assert cache.load_replies("bob", keys(1))


def test_what_no_database_takes_is_kept_all_the_same(cache: ReplyCache) -> None:
    cache.store_replies("ann", [reply(1, "a\0b\ud800c")])
    (found,) = cache.load_replies("ann", keys(1)).values()
    assert (found.text[0], found.text[-1]) == ("a", "c")


def test_what_nobody_used_for_long_goes(catalog_url: str, clock: Clock) -> None:
    with disposed(open_database(catalog_url)) as engine:
        cache = Replies(engine, clock=clock)
        cache.store_replies("ann", [reply(1), reply(2)])
        clock.now += 20 * 24 * 3_600
        cache.load_replies("ann", keys(2))
        clock.now += 20 * 24 * 3_600
        Replies(engine, clock=clock).store_replies("ann", [reply(3)])
        assert set(cache.load_replies("ann", keys(1, 2, 3))) == set(keys(2, 3))


def test_what_an_earlier_process_left_counts_as_room_taken(catalog_url: str, clock: Clock) -> None:
    with disposed(open_database(catalog_url)) as engine:
        for number in range(30):
            clock.now += 1
            Replies(engine, max_bytes=MAX_BYTES, clock=clock).store_replies("ann", [reply(number, "x" * 3_800)])
        assert len(Replies(engine).load_replies("ann", keys(*range(30)))) <= 10


def test_replies_are_there_when_their_use_cannot_be_written_down(clock: Clock, tmp_path: object) -> None:
    with disposed(open_database(f"sqlite:///{tmp_path}/catalog.sqlite")) as engine:
        cache = Replies(engine, max_bytes=MAX_BYTES, clock=clock)
        cache.store_replies("ann", [reply(1)])
        clock.now += 3_600
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE UPDATE ON replies BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
            )
        assert cache.load_replies("ann", keys(1)) == {reply(1).key: reply(1)}
