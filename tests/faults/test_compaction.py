"""Compaction under fire: a killed child, a parent killed at every step, and writes and searches meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.errors import IndexUnavailableError
from retrieval.index.edge.compaction import MaintenancePolicy
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.port import SearchScope
from tests.support.compacted_index import (
    BY_HAND,
    DIMENSION,
    EMBEDDER,
    ENCODER,
    put,
    stored_points,
    version,
    write_first,
    write_more,
)

STEPS = ("cloned", "compacted", "opened", "replayed", "swapped", "retired")


def opened(folder: Path, observe: Callable[[str], None] = lambda _: None) -> QdrantEdgeIndex:
    return QdrantEdgeIndex(folder, dimension=DIMENSION, policy=BY_HAND, observer=observe)


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("gen-*"))


def children() -> list[int]:
    """Process ids of the compactions this process has running."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = (status.parent / "cmdline").read_bytes()
        except OSError:  # ended meanwhile
            continue
        if int(fields[1]) == os.getpid() and b"retrieval.index.edge.compaction_child" in command:
            found.append(int(status.parent.name))
    return found


@pytest.fixture
def undisturbed(tmp_path: Path) -> Path:
    index = opened(tmp_path / "undisturbed")
    write_first(index)
    write_more(index)
    index.close()
    return tmp_path / "undisturbed"


def test_a_journal_replayed_on_a_compacted_copy_equals_the_undisturbed_index(tmp_path: Path, undisturbed: Path) -> None:
    steps: list[str] = []

    def observe(step: str) -> None:
        steps.append(step)
        if step == "cloned":
            write_more(index)

    index = opened(tmp_path / "i", observe)
    write_first(index)
    assert index.compact()
    assert tuple(steps) == STEPS
    index.close()
    assert stored_points(tmp_path / "i") == stored_points(undisturbed)
    assert generations(tmp_path / "i") == ["gen-000002"]


@pytest.mark.parametrize("step", ["compacted", "opened"])
def test_writes_of_the_last_moment_are_not_lost(tmp_path: Path, undisturbed: Path, step: str) -> None:
    index = opened(tmp_path / "i", lambda reached: write_more(index) if reached == step else None)
    write_first(index)
    assert index.compact()
    index.close()
    assert stored_points(tmp_path / "i") == stored_points(undisturbed)


def test_a_write_that_failed_does_not_stop_the_compaction(tmp_path: Path) -> None:
    known = version("known")
    ids = [chunk.id for chunk in known]
    vectors = EMBEDDER.embed_documents([*known.values(), "unknown"]).vectors

    def fail() -> None:
        with pytest.raises(IndexUnavailableError):
            index.set_dense_vectors([*ids, next(iter(version("unknown"))).id], vectors)

    index = opened(tmp_path / "i", lambda step: fail() if step == "cloned" else None)
    put(index, known, dense=False)
    assert index.compact()
    index.set_dense_vectors(ids, vectors[:-1])  # how much of the failed write was done is not defined
    index.close()
    plain = opened(tmp_path / "plain")
    put(plain, known)
    plain.close()
    assert stored_points(tmp_path / "i") == stored_points(tmp_path / "plain")


def test_a_killed_child_leaves_the_index_as_it_was_and_the_next_compaction_succeeds(
    tmp_path: Path, undisturbed: Path
) -> None:
    killed: list[int] = []

    def kill_the_child() -> None:
        while not killed:
            for child in children():
                os.kill(child, signal.SIGKILL)
                killed.append(child)

    index = opened(tmp_path / "i")
    write_first(index)
    killer = threading.Thread(target=kill_the_child)
    killer.start()
    with pytest.raises(IndexUnavailableError, match="-9"):
        index.compact()
    killer.join()
    assert generations(tmp_path / "i") == ["gen-000001"]
    write_more(index)
    assert index.compact()
    index.close()
    assert stored_points(tmp_path / "i") == stored_points(undisturbed)


@pytest.mark.parametrize("step", STEPS)
def test_a_parent_killed_at_any_step_loses_nothing(tmp_path: Path, undisturbed: Path, step: str) -> None:
    folder = tmp_path / "i"
    index = opened(folder)
    write_first(index)
    index.close()
    parent = subprocess.run([sys.executable, "-m", "tests.faults.compaction_parent", str(folder), step], check=False)
    assert parent.returncode == -signal.SIGKILL
    again = opened(folder)
    assert len(generations(folder)) == 1
    assert again.compact()
    again.close()
    assert stored_points(folder) == stored_points(undisturbed)


def test_closing_in_mid_compaction_gives_it_up_at_once(tmp_path: Path, undisturbed: Path) -> None:
    cloned = threading.Event()
    index = opened(tmp_path / "i", lambda _: cloned.set())
    write_first(index)
    outcome: list[bool] = []
    compaction = threading.Thread(target=lambda: outcome.append(index.compact()))
    compaction.start()
    cloned.wait()
    write_more(index)
    index.close()
    compaction.join()
    assert children() == []
    assert stored_points(tmp_path / "i") == stored_points(undisturbed)
    assert len(generations(tmp_path / "i")) == 1


def test_writers_wait_while_the_journal_is_full_and_lose_nothing(tmp_path: Path, undisturbed: Path) -> None:
    """More is written than the journal holds, by a thread that only the end of the compaction lets finish."""
    ended_at: list[int] = []
    steps: list[str] = []

    def write() -> None:
        write_more(index)
        ended_at.append(len(steps))

    def observe(step: str) -> None:
        steps.append(step)
        if step == "cloned":
            writer.start()

    writer = threading.Thread(target=write)
    policy = MaintenancePolicy(unsealed_points=10**9, journal_points=10)
    index = QdrantEdgeIndex(tmp_path / "i", dimension=DIMENSION, policy=policy, observer=observe)
    write_first(index)
    assert index.compact()
    writer.join()
    index.close()
    assert ended_at[0] >= steps.index("swapped")
    assert stored_points(tmp_path / "i") == stored_points(undisturbed)


def test_a_compaction_that_takes_too_long_is_given_up_and_loses_nothing(tmp_path: Path, undisturbed: Path) -> None:
    index = QdrantEdgeIndex(
        tmp_path / "i",
        dimension=DIMENSION,
        policy=MaintenancePolicy(unsealed_points=10**9, longest_seconds=0),
        observer=lambda step: write_more(index) if step == "cloned" else None,
    )
    write_first(index)
    assert not index.compact()
    index.close()
    assert generations(tmp_path / "i") == ["gen-000001"]
    assert stored_points(tmp_path / "i") == stored_points(undisturbed)


def test_enough_writes_compact_the_index_by_themselves(tmp_path: Path) -> None:
    retired = threading.Event()
    index = QdrantEdgeIndex(
        tmp_path / "i",
        dimension=DIMENSION,
        policy=MaintenancePolicy(unsealed_points=200, mapped_bytes=0),
        observer=lambda step: retired.set() if step == "retired" else None,
    )
    write_first(index)
    for _ in range(100):  # what wakes the upkeep
        index.count_chunks("ann", "kept")
    assert retired.wait(120)
    assert index.count_chunks("ann", "kept", embedded_only=True) == 60
    index.close()


def test_searches_and_writes_during_compactions_lose_nothing(tmp_path: Path) -> None:
    index = opened(tmp_path / "i")
    put(index, version("steady"))
    stop = threading.Event()
    failures: list[str] = []
    searches = 0

    def search() -> None:
        nonlocal searches
        scope, query = SearchScope("ann", documents=("doc-steady",)), "whale harpoon number7"
        while not stop.is_set():
            lexical, dense = index.search(
                scope, sparse_vector=ENCODER.encode_query(query), dense_vector=EMBEDDER.embed_query(query), limit=60
            )
            if len(dense) != 60 or not lexical or len(index.load_chunks(scope, [hit.id for hit in dense])) != 60:
                failures.append(f"{len(lexical)} {len(dense)}")
            searches += 1

    def write() -> None:
        for number in range(40):
            put(index, version(f"w{number}", 20))
            if number % 4 == 0:
                index.delete_version("ann", f"w{number}")

    threads = [threading.Thread(target=search), threading.Thread(target=search), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    compactions = 0
    while threads[2].is_alive() or compactions < 3:
        assert index.compact()
        compactions += 1
    stop.set()
    for thread in threads:
        thread.join()
    index.close()
    assert failures == []
    assert searches > 0
    expected = {c.id for name in ["steady"] for c in version(name)}
    expected |= {c.id for number in range(40) if number % 4 for c in version(f"w{number}", 20)}
    assert set(stored_points(tmp_path / "i")) == expected
