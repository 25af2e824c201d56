"""Small benchmark folders, each generated once for all tests that only read it."""

import pytest

from tests.benchmark.tasks.corpus import BenchmarkFolder
from tests.benchmark.tasks.generate import Spec, generate


@pytest.fixture(scope="session")
def needles(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkFolder:
    return generate(Spec("needle", 40_000, seed=3, count=25), tmp_path_factory.mktemp("needle"))


@pytest.fixture(scope="session")
def several_needles(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkFolder:
    return generate(Spec("multi-needle", 40_000, seed=3, count=16), tmp_path_factory.mktemp("multi-needle"))


@pytest.fixture(scope="session")
def aggregation(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkFolder:
    return generate(Spec("aggregation", 30_000, seed=3, count=60), tmp_path_factory.mktemp("aggregation"))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkFolder:
    return generate(Spec("pairs", 8_000, seed=3, count=20), tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def multi_hop(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkFolder:
    return generate(Spec("multi-hop", 60_000, seed=3, count=15), tmp_path_factory.mktemp("multi-hop"))


def read_documents(folder: BenchmarkFolder) -> dict[str, str]:
    """The text of each document by its name."""
    return {path.name: path.read_text("utf-8") for path in folder.document_paths()}
