"""What a worker needs, closed after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.harbour import Harbour


@pytest.fixture
def harbour(tmp_path: Path) -> Iterator[Harbour]:
    made = Harbour(tmp_path)
    yield made
    made.engine.dispose()
