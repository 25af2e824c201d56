"""A service of its own for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.admission.services import Services
from api.client import Client
from tests.support.service import running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path / "home") as made:
        yield made


@pytest.fixture
def services(service: tuple[Services, Client]) -> Services:
    return service[0]
