"""A whole cluster under faults, small enough for every run of the suite; `kill_matrix` and `trials` do it at size."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import trials
from tests.faults.kill_matrix import RECOVERY_SECONDS, run_once
from tests.support.books import book
from tests.support.cluster import Cluster, running_cluster, wait_until
from tests.support.fault_points import FAULT_POINTS
from tests.support.postgres import Postgres

# Those of a move come first: it embeds again what the others leave behind.
POINTS: list[str] = sorted(FAULT_POINTS, key=lambda point: not point.startswith("reembed"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), postgres.catalog_database()) as running:
        yield running


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_loses_repeats_and_resurrects_nothing(cluster: Cluster, point: str) -> None:
    run = run_once(cluster, point, seed=1)
    assert run.violations == (), run
    assert run.recovery_seconds < RECOVERY_SECONDS


def test_a_broker_that_forgets_everything_loses_no_document(tmp_path: Path) -> None:
    found = trials.flush(uploads=12, flushes=4, folder=tmp_path)
    assert (found["ready"], found["flushes"], found["violations"]) == (12, 4, [])


def test_the_end_of_a_document_is_told_though_the_broker_forgot_everything_and_then_died(
    tmp_path: Path, postgres: Postgres
) -> None:
    """What announces changes may lose all of them: who follows looks into the catalog by themselves."""
    with running_cluster(tmp_path, postgres.catalog_database(), persistent_valkey=False) as cluster:
        cluster.faults.arm("ingest.indexed")
        document = cluster.upload(book(1, chapters=2), "a.md")
        with cluster.events(f"/v1/documents/{document}/events") as sent:
            assert next(sent)[1] == "snapshot"
            wait_until(lambda: cluster.faults.reached("ingest.indexed") is not None, what="it is indexed")
            cluster.valkey.flush()
            cluster.faults.arm("embed.written")
            cluster.faults.release("ingest.indexed")
            wait_until(lambda: cluster.faults.reached("embed.written") is not None, what="vectors are made")
            cluster.valkey.kill()
            cluster.faults.release()
            *_, (_, name, last) = sent
        assert (name, last["state"], last["progress"]["fraction"]) == ("end", "ready", 1.0)


def test_messages_repeated_and_shuffled_leave_the_same_index(tmp_path: Path) -> None:
    found = trials.repeat(uploads=8, times=3, folder=tmp_path)
    assert found["copies_of_messages"] >= 16
    assert found["points"] > 8
    assert (found["different_points"], found["violations"]) == (0, [])


def test_poisoned_documents_fail_with_a_reason_and_spare_the_others(tmp_path: Path) -> None:
    found = trials.poisoned(good=8, bad=6, folder=tmp_path)
    assert (found["ready"], found["failed"], found["violations"]) == (8, 6, [])
    assert found["most_attempts"] <= 3
    assert "failed: no reason" not in found["reasons"]


def test_a_message_whose_worker_is_killed_comes_back_without_a_sweep(tmp_path: Path, postgres: Postgres) -> None:
    """The late acknowledgement: with an early one the broker forgets the message, and here no sweep rings again."""
    database = postgres.catalog_database()
    # On a busy machine a worker takes seconds to begin, and nothing repeats a task that exceeded its time limit.
    with running_cluster(tmp_path, database, start_beat=False, task_seconds=60.0) as cluster:
        cluster.faults.arm("look.began")
        text = book(1, chapters=1)
        document = cluster.upload(text, "a.md")
        wait_until(lambda: cluster.faults.reached("look.began") is not None, what="a worker began")
        cluster.kill(cluster.faults.reached("look.began") or 0)
        cluster.faults.release()
        wait_until(
            lambda: cluster.catalog.load_document("default", document).version.searchable_at is not None,
            what="the document is searchable",
        )
