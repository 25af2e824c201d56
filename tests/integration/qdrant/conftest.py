"""One vector server for the tests of a module, a collection's name for each test, and what stands beside or between."""

import uuid
from collections.abc import Iterator

import pytest
from qdrant_client import QdrantClient

from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.vector_servers import VectorServer, vector_server


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorServer]:
    with vector_server(tmp_path_factory.mktemp("qdrant") / "data") as running:
        yield running


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def client(double: VectorServer) -> Iterator[QdrantClient]:
    """The vendor's client beside ours, for looking at what ours did."""
    plain = QdrantClient(url=double.url, check_compatibility=False)
    yield plain
    plain.close()


@pytest.fixture
def proxy(double: VectorServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(double.url) as between:
        yield between
