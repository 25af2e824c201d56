"""An index moves to more shards and replicas, or other quantization, while it is searched and written to."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from qdrant_client import QdrantClient

from ingest.storage.documents.records import Document
from ingest.storage.errors import GenerationStateError
from ingest.storage.queue.records import JobKind
from retrieval import build
from retrieval.encoders.port import UNRELATED_SENTENCES, EmbeddedTexts, HashingEmbedder
from retrieval.index.generations import IndexStore
from retrieval.index.server.settings import QdrantServerSettings
from retrieval.search.search import Mode
from tests.support.books import book
from tests.support.encoders import hashing_encoders
from tests.support.generations_fixture import SHIPS, WHALE, GenerationsFixture
from tests.support.installations import OURS
from tests.support.vector_servers import VectorServer, vector_server
from tests.support.worker_fixture import no

FOUR_WORDS = "The white whale swims"
SPREAD = QdrantServerSettings(
    shard_number=6, replication_factor=2, quantization="int8", read_timeout_seconds=60, write_timeout_seconds=60
)


class _Counting(HashingEmbedder):
    """Counts how often each text was encoded, in all of this test."""

    encoded: ClassVar[Counter[str]] = Counter()

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
        self.encoded.update(texts)
        return super().embed_documents(texts)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VectorServer]:
    with vector_server(tmp_path / "qdrant", nodes=3) as running:
        yield running


def restarted(home: Path, store: IndexStore) -> GenerationsFixture:
    """A process that counts what it encodes."""
    at = GenerationsFixture(home, store)
    _Counting.encoded.clear()
    at.open._encoders = hashing_encoders(_Counting)
    return at


@contextmanager
def _searching(at: GenerationsFixture, expected: Document) -> Iterator[list[object]]:
    """Search all the time, and yield whatever was found that should not have been."""
    wrong: list[object] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            try:
                found = at.found(FOUR_WORDS, Mode.HYBRID, top_k=1)
                wrong.extend([] if found == [expected.id] else [found])
            except Exception as error:  # noqa: BLE001 - whatever it is, a search failed
                wrong.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield wrong
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
def test_an_index_is_spread_while_it_is_used_without_a_failed_search_or_a_vector_made_twice(
    tmp_path: Path, server: VectorServer
) -> None:
    before = GenerationsFixture(tmp_path, build.build_server_store(server.url, OURS))
    whale = before.ready(WHALE, "w.md")
    for n in range(4):
        before.ready(book(n, chapters=2), f"{n}.md")
    before.close()
    store = build.build_server_store(server.url, OURS, settings=SPREAD)
    assert any("SHARDS is 6" in each for each in store.list_differences(1))
    at = restarted(tmp_path, store)
    with _searching(at, whale) as wrong:
        pending = at.upload(SHIPS, "s.md")
        (job,) = at.jobs.claim(JobKind.INGEST)
        at.ingest.run(job, no)
        mover = threading.Thread(target=lambda: at.switcher.copy_to_new_layout(store.list_differences))
        mover.start()
        late = [at.ready(book(10 + n, chapters=1), f"late-{n}.md") for n in range(3)]
        while mover.is_alive():
            at.work_off()
            mover.join(0.05)
        assert at.switcher.switch().id == 2
        at.found(FOUR_WORDS)
    assert wrong == []
    chunks = sum(len(at.texts.load_map(each.version.id).chunks) for each in (pending, *late))
    encoded = {text: times for text, times in _Counting.encoded.items() if text not in UNRELATED_SENTENCES}
    assert (len(encoded), max(encoded.values())) == (chunks, 1)
    assert at.verify().is_consistent
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
        config = client.get_collection("leadline-g2").config
    assert (config.params.shard_number, config.params.replication_factor) == (6, 2)
    assert store.list_differences(2) == []
    assert at.found("three masts")[0] == pending.id

    since = at.ready(book(20, chapters=1), "since.md")
    made = _Counting.encoded.total()
    assert at.switcher.roll_back().id == 1
    assert _Counting.encoded.total() == made
    assert at.verify().is_consistent
    points = at.points_of(since.id)
    assert points[1] == points[2] > 0
    at.close()


def test_vectors_that_are_still_being_made_are_waited_for_and_copied(tmp_path: Path, server: VectorServer) -> None:
    before = GenerationsFixture(tmp_path, build.build_server_store(server.url, OURS))
    before.ready(WHALE, "w.md")
    before.close()
    at = restarted(tmp_path, build.build_server_store(server.url, OURS, settings=SPREAD))
    at.upload(SHIPS, "s.md")
    at.ingest.run(at.jobs.claim(JobKind.INGEST)[0], no)
    active = at.records.load_active_generation()
    at.records.start_generation(active.encoder, active.sparse, active.dimension, source_id=active.id)
    while at.builder.run_once():
        pass
    assert (at.records.load_progress().versions_done, _Counting.encoded.total()) == (1, 0)
    at.work_off()
    at.build()
    assert at.records.load_progress().is_complete
    assert _Counting.encoded.total() == 1
    at.close()


def test_an_index_made_again_takes_no_vector_of_the_one_before(tmp_path: Path, server: VectorServer) -> None:
    before = GenerationsFixture(tmp_path, build.build_server_store(server.url, OURS))
    before.ready(WHALE)
    before.close()
    at = restarted(tmp_path, build.build_server_store(server.url, OURS, settings=SPREAD))
    at.switcher.rebuild_index(at.choice("hashing"), at.sparse.fingerprint)
    assert _Counting.encoded.total() == 1
    at.close()


def test_spreading_is_refused_where_there_is_no_need_or_processes_have_other_settings(
    tmp_path: Path, server: VectorServer
) -> None:
    plain, spread = (
        build.build_server_store(server.url, OURS),
        build.build_server_store(server.url, OURS, settings=SPREAD),
    )
    old, new = GenerationsFixture(tmp_path, plain), GenerationsFixture(tmp_path, spread)
    old.ready(WHALE)
    with pytest.raises(GenerationStateError, match=r"already matches the storage settings.*LEADLINE_QDRANT_"):
        old.switcher.copy_to_new_layout(plain.list_differences)
    assert new.records.find_inactive_generation() is None
    plain.open_index(2, 64).close()  # an old process was the first to open it
    with pytest.raises(GenerationStateError, match=r"different settings: LEADLINE_QDRANT_SHARDS.*discard --unfinished"):
        new.switcher.copy_to_new_layout(spread.list_differences)
    old.close()
    new.close()


def test_an_index_in_a_folder_is_not_spread(tmp_path: Path) -> None:
    at = GenerationsFixture(tmp_path, build.build_embedded_store(tmp_path, OURS))
    with pytest.raises(GenerationStateError, match="An index in a folder cannot be moved to other nodes"):
        at.switcher.copy_to_new_layout(at.store.list_differences)
    at.close()
