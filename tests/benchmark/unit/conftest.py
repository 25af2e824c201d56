"""Small tasks, each generated once for all tests that only read it."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.benchmark.tasks.folder import TaskFolder
from tests.benchmark.tasks.generate import Spec, generate

SIZES = {"needles": (40_000, 25), "multihop": (60_000, 15), "aggregation": (30_000, 60), "pairs": (8_000, 20)}


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TaskFolder]:
    @cache
    def made(name: str) -> TaskFolder:
        size, count = SIZES[name]
        return generate(Spec(name, size, seed=3, count=count), tmp_path_factory.mktemp(name))

    return made
