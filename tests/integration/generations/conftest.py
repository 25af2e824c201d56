"""A `GenerationsFixture` on each kind of store, with the real engine in both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import build
from retrieval.index.generations import IndexStore
from tests.support.generations_fixture import GenerationsFixture
from tests.support.installations import OURS
from tests.support.vector_servers import VectorServer, vector_server


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorServer]:
    with vector_server(tmp_path_factory.mktemp("qdrant") / "data") as running:
        yield running


@pytest.fixture(params=["folder", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path, double: VectorServer) -> Iterator[IndexStore]:
    if request.param == "folder":
        yield build.build_embedded_store(tmp_path, OURS)
        return
    made = build.build_server_store(double.url, OURS)
    yield made
    for generation in range(1, 6):
        made.remove_index(generation)


@pytest.fixture
def at(tmp_path: Path, store: IndexStore) -> Iterator[GenerationsFixture]:
    made = GenerationsFixture(tmp_path, store)
    yield made
    made.close()
