"""The feed, within a process and through a real Valkey: who watches is woken, and nobody else."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from ingest.storage.feed.feed import Feed, LocalFeed
from ingest.storage.feed.redis_feed import RedisFeed
from tests.support.valkey import Valkey, running_valkey


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(params=["local", "redis"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Feed, Feed]]:
    """Where changes are announced and where they are watched: one process, or two."""
    if request.param == "local":
        feed = LocalFeed()
        yield feed, feed
        return
    url = request.getfixturevalue("valkey").url
    here, there = RedisFeed(url), RedisFeed(url)
    yield here, there
    here.close()
    there.close()


def heard(event: threading.Event) -> bool:
    return event.wait(60.0)


def settle(announcing: Feed, watching: Feed, tenant: str) -> None:
    """Until what was announced before has arrived, and what wakes a new watcher for safety's sake."""
    last = threading.Event()
    with watching.watch(tenant, "last", last.set):
        assert_repeated(lambda: announcing.announce(tenant, ["last"]), last)


def assert_repeated(again: Callable[[], None], event: threading.Event) -> None:
    for _ in range(3):
        event.clear()
        again()
        assert heard(event)


def test_a_change_wakes_who_watches_the_document_and_who_watches_all_of_the_tenant(ends: tuple[Feed, Feed]) -> None:
    announcing, watching = ends
    one, every = threading.Event(), threading.Event()
    with watching.watch("ann", "d1", one.set), watching.watch("ann", None, every.set):
        settle(announcing, watching, "ann")
        one.clear()
        every.clear()
        announcing.announce("ann", ["d1"])
        assert heard(one)
        assert heard(every)


def test_a_change_of_everything_wakes_who_watches_a_document(ends: tuple[Feed, Feed]) -> None:
    announcing, watching = ends
    one = threading.Event()
    with watching.watch("ann", "d1", one.set):
        settle(announcing, watching, "ann")
        one.clear()
        announcing.announce("ann", None)
        assert heard(one)


def test_another_tenants_changes_and_other_documents_wake_nobody(ends: tuple[Feed, Feed]) -> None:
    announcing, watching = ends
    one, every = threading.Event(), threading.Event()
    with watching.watch("ann", "d1", one.set), watching.watch("ann", None, every.set):
        settle(announcing, watching, "ann")
        settle(announcing, watching, "bob")
        one.clear()
        every.clear()
        announcing.announce("bob", ["d1"])
        announcing.announce("bob", None)
        settle(announcing, watching, "bob")
        assert not every.is_set()
        announcing.announce("ann", ["d2"])
        assert heard(every)
        settle(announcing, watching, "ann")
        assert not one.is_set()


def test_who_has_stopped_watching_is_not_called(ends: tuple[Feed, Feed]) -> None:
    announcing, watching = ends
    called = threading.Event()
    with watching.watch("ann", "d1", called.set):
        pass
    called.clear()
    announcing.announce("ann", ["d1"])
    settle(announcing, watching, "ann")
    assert not called.is_set()


def test_who_begins_to_watch_a_tenant_is_woken_for_what_was_announced_meanwhile(valkey: Valkey) -> None:
    feed = RedisFeed(valkey.url)
    woken = threading.Event()
    with feed.watch("eve", "d1", woken.set):
        assert heard(woken)
    feed.close()


def test_announcing_without_a_server_never_waits_nor_fails_and_watching_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        announcing, watching = RedisFeed(server.url), RedisFeed(server.url)
        woken = threading.Event()
        with watching.watch("ann", "d1", woken.set):
            settle(announcing, watching, "ann")
            server.kill()
            announcing.announce("ann", ["d1"])
            woken.clear()
            server.restart()
            assert heard(woken)  # for what may have been missed
            server.flush()
            assert_repeated(lambda: announcing.announce("ann", ["d1"]), woken)
        announcing.close()
        watching.close()


def test_the_stream_of_a_tenant_stays_short_and_is_forgotten_in_the_end(valkey: Valkey) -> None:
    feed = RedisFeed(valkey.url)
    for number in range(12):
        feed.announce("long", [f"d{number}-{n}" for n in range(400)])
        settle(feed, feed, "long")
    with Redis.from_url(valkey.url) as client:
        key = "leadline:changes:long"
        assert 1_000 < client.xlen(key) < 2_500
        assert 0 < client.ttl(key) <= 600
    feed.close()


def test_a_watcher_that_was_overtaken_by_the_trimming_is_woken(valkey: Valkey) -> None:
    announcing, watching = RedisFeed(valkey.url), RedisFeed(valkey.url)
    woken = threading.Event()
    with watching.watch("ann", "not among them", woken.set):
        settle(announcing, watching, "ann")
        woken.clear()
        with Redis.from_url(valkey.url) as client, client.pipeline() as pipeline:
            for number in range(1_000):
                pipeline.xadd("leadline:changes:ann", {"document": f"d{number}"})
            pipeline.execute()
        assert heard(woken)
    announcing.close()
    watching.close()
