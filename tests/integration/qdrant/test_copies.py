"""Copies of shards that are missing, and a node that is gone: what is reported of them, and how they are made again.

The double claims the nodes; the test of `test_three_nodes` has real ones.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.admission.services import summarize_replicas
from api.build.index_access import IndexAccess
from api.cli import doctor, index
from api.status.metrics import _iter_index_gauges
from ingest.storage.operations.installation import Installation
from retrieval import build
from retrieval.errors import IndexRefusedError
from retrieval.index.copies import Replicas
from retrieval.index.generations import IndexStore
from retrieval.index.server.settings import QdrantServerSettings
from tests.support.generations_fixture import WHALE, GenerationsFixture
from tests.support.installations import OURS
from tests.support.qdrant_double import QdrantDouble, qdrant_double

SIX_TIMES_TWO = QdrantServerSettings(shard_number=6, replication_factor=2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantDouble]:
    with qdrant_double(tmp_path / "qdrant", nodes=3) as running:
        yield running


@pytest.fixture
def store(server: QdrantDouble) -> IndexStore:
    return build.build_server_store(server.url, OURS, settings=SIX_TIMES_TWO)


@pytest.fixture
def at(tmp_path: Path, store: IndexStore) -> Iterator[GenerationsFixture]:
    made = GenerationsFixture(tmp_path / "home", store)
    made.ready(WHALE)
    yield made
    made.close()


def found(store: IndexStore) -> Replicas:
    copies = store.find_replicas(1)
    assert copies is not None
    return copies


def test_every_shard_has_its_copies_on_nodes_that_answer(at: GenerationsFixture, store: IndexStore) -> None:
    copies = found(store)
    assert (copies.wanted, len(copies.shards), len(copies.nodes)) == (2, 6, 3)
    assert copies.describe() == "All 6 shards have 2 active replicas."
    (state,) = at.checks.check_replicas()
    assert (state.generation, state.shards, state.short) == (1, 6, 0)


def test_a_server_of_one_node_and_a_folder_have_no_copies(tmp_path: Path) -> None:
    with qdrant_double(tmp_path / "qdrant") as alone:
        single = build.build_server_store(alone.url, OURS)
        assert single.find_replicas(1) is None
        single.open_index(1, 8).close()
        assert single.find_replicas(1) is None
    folder = build.build_embedded_store(tmp_path, Installation("x", lambda _: True))
    assert folder.find_replicas(1) is None


def test_a_node_that_is_away_is_named_and_its_copies_come_back_with_it(
    at: GenerationsFixture, server: QdrantDouble, store: IndexStore
) -> None:
    server.take_away(3)
    copies = found(store)
    assert (len(copies.underreplicated_shards), copies.list_missing_replicas()) == (4, [])
    assert copies.describe() == (
        "4 of 6 shards have fewer than 2 active replicas. http://node-3:6335/ (id 3) does not respond."
    )
    assert "LeadlineCopiesMissing" in index.build_replica_advice(copies)
    server.bring_back(3)
    assert found(store).underreplicated_shards == []


def test_a_node_that_was_replaced_leaves_shards_short_until_they_are_repaired(
    at: GenerationsFixture, server: QdrantDouble, store: IndexStore
) -> None:
    server.take_away(3)
    replacement = server.replace(3)
    copies = found(store)
    assert (len(copies.underreplicated_shards), len(copies.list_missing_replicas())) == (4, 4)
    assert {new.target for new in copies.list_missing_replicas()} == {replacement}
    assert index.build_replica_advice(copies) == "Run `leadline index repair`."
    at.checks.check_replicas()
    assert [each.short for each in at.states.list_replica_states()] == [4]

    new = copies.list_missing_replicas()[0]
    store.start_replication(1, new)
    with pytest.raises(IndexRefusedError, match="already involved in transfer"):
        store.start_replication(1, new)
    assert len(found(store).list_missing_replicas()) == 3  # the one that was begun is waited for


class Interrupted(Exception):
    """Stands for Ctrl-C."""


@pytest.fixture
def command(at: GenerationsFixture, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands of `leadline index` on the fixture's parts."""

    def access(**_: object) -> "OpenAccess":
        return OpenAccess(at)

    monkeypatch.setattr(index, "_open_configured_index", access)
    monkeypatch.setattr("retrieval.index.copies._POLL_SECONDS", 0.01)
    return CliRunner()


class OpenAccess:
    """The parts of the fixture, as a command opens them."""

    def __init__(self, at: GenerationsFixture) -> None:
        self._access = IndexAccess(
            at.records,
            at.catalog,
            at.encoders,
            at.sparse,
            at.store,
            at.states,
            deps=at.deps,
            generations=at.open,
            checks=at.checks,
        )

    def __enter__(self) -> IndexAccess:
        return self._access

    def __exit__(self, *_: object) -> None:
        return None


def test_repair_asks_first_makes_the_copies_and_may_be_given_again(
    at: GenerationsFixture, server: QdrantDouble, store: IndexStore, command: CliRunner
) -> None:
    server.replace(3)
    refused = command.invoke(index.app, ["repair"], input="n\n")
    assert refused.exit_code == 1
    assert "Create 4 replicas now?" in refused.output
    assert len(found(store).list_missing_replicas()) == 4
    repaired = command.invoke(index.app, ["repair"], input="y\n")
    assert (repaired.exit_code, found(store).underreplicated_shards) == (0, [])
    assert "Every shard has all its replicas." in repaired.output
    assert [each.short for each in at.states.list_replica_states()] == [0]
    again = command.invoke(index.app, ["repair"])
    assert (again.exit_code, "Make" in again.output) == (0, False)
    assert at.found("whale")


def test_an_interrupted_repair_goes_on_where_it_was(
    at: GenerationsFixture, server: QdrantDouble, command: CliRunner, store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.replace(3)
    begun: list[object] = []
    make_copy = store.start_replication

    def interrupt_the_second(generation_id: int, new: object) -> None:
        begun.append(new)
        if len(begun) == 2:
            raise Interrupted
        make_copy(generation_id, new)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "start_replication", interrupt_the_second)
    broken = command.invoke(index.app, ["repair", "--yes"])
    assert isinstance(broken.exception, Interrupted)
    assert len(found(store).list_missing_replicas()) == 3
    assert command.invoke(index.app, ["repair", "--yes"]).exit_code == 0
    assert found(store).underreplicated_shards == []
    assert len(begun) == 5  # the one that was broken off, and each of the four once


def test_repair_leaves_a_node_that_is_away_alone_and_ends_with_1(
    at: GenerationsFixture, server: QdrantDouble, store: IndexStore, command: CliRunner
) -> None:
    server.take_away(2)
    before = found(store)
    left = command.invoke(index.app, ["repair", "--yes"])
    assert left.exit_code == 1
    said = " ".join(left.output.split())
    assert "http://node-2:6335/ (id 2) does not respond." in said
    assert "If the node is lost for good" in said
    assert found(store) == before


def test_a_copy_without_a_node_of_its_own_is_asked_for(
    at: GenerationsFixture, server: QdrantDouble, store: IndexStore, command: CliRunner
) -> None:
    server.remove(3)
    assert command.invoke(index.app, ["repair", "--yes"]).exit_code == 0
    server.remove(2)
    assert len(found(store).underreplicated_shards) == 6
    left = command.invoke(index.app, ["repair", "--yes"])
    assert left.exit_code == 1
    assert "Add a node" in left.output


def test_shards_that_lost_their_last_copy_are_counted_and_need_a_rebuild(
    at: GenerationsFixture, server: QdrantDouble, store: IndexStore
) -> None:
    for peer in (2, 3):
        server.remove(peer)
    copies = found(store)
    assert copies.describe().startswith("6 of 6 shards have fewer than 2 active replicas, and 2 of these have none.")
    assert "leadline index rebuild" in index.build_replica_advice(copies)


def test_everything_that_looks_says_so(
    at: GenerationsFixture, server: QdrantDouble, command: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert summarize_replicas(at.states.list_replica_states()) == "none"
    at.checks.check_replicas()
    assert summarize_replicas(at.states.list_replica_states()) == "ready"
    server.remove(3)
    at.checks.check_replicas()
    assert summarize_replicas(at.states.list_replica_states()) == "degraded"
    assert gauges(at) == {"leadline_index_shards": 6, "leadline_index_shards_short": 4}
    shown = " ".join(command.invoke(index.app, ["show"]).output.split())
    assert "Generation 1: 4 of 6 shards have fewer than 2 active replicas." in shown
    assert "Run `leadline index repair`." in shown
    (finding,) = diagnosed(at, monkeypatch)
    assert "4 of 6 shards" in finding.found
    assert finding.advice == "Run `leadline index repair`."


def diagnosed(at: GenerationsFixture, monkeypatch: pytest.MonkeyPatch) -> list[doctor.Finding]:
    """The findings of `leadline doctor` about copies."""
    copies = {
        generation.id: copies
        for generation in at.records.list_live_generations()
        if (copies := at.store.find_replicas(generation.id))
    }
    with monkeypatch.context() as patched:
        patched.setattr(doctor, "read_cluster_settings", object)
        patched.setattr(doctor, "inspect_replicas", lambda settings, cluster: copies)
        return list(doctor._check_replicas(None))  # type: ignore[arg-type]


def gauges(at: GenerationsFixture) -> dict[str, float]:
    """Return the gauges about shards, by name."""
    families = _iter_index_gauges(at.states.load_state(1), at.states.list_replica_states())
    return {each.name: each.samples[0].value for each in families if "shards" in each.name}
