"""A whole service for tests: everything real but the encoder and, unless asked for, the language model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.build.embedded import open_embedded_services
from api.build.language_model import NoLanguageModel
from api.cli.private_service import open_services_client
from api.client import Client
from api.main import create_app
from api.settings.settings import Settings
from retrieval.encoders.port import HashingEmbedder
from rlm.llm.port import LanguageModel
from tests.support.catalogs import migrated_sqlite
from tests.support.serving import serving


@contextmanager
def running(
    home: Path, *, language_model: LanguageModel | None = None, **settings: object
) -> Iterator[tuple[Services, Client]]:
    """Services on `home` with a client that holds a key of the default tenant."""
    migrated_sqlite(home / "catalog.sqlite")
    made = Settings.model_validate({"home": home, "llm": "none", "min_free_bytes": 0, "ballast_bytes": 0, **settings})
    with (
        patient_health(),
        open_embedded_services(
            made, encoder=HashingEmbedder(), language_model=language_model or NoLanguageModel()
        ) as services,
        open_services_client(services) as client,
    ):
        yield services, client


@contextmanager
def patient_health(seconds: float = 120.0) -> Iterator[None]:
    """Give each part this long to tell its state: on a busy machine one that is ready may need more than a second."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("api.status.routes._PART_SECONDS", seconds)
        yield


@contextmanager
def listening(services: Services) -> Iterator[tuple[str, str]]:
    """The services on a TCP port of this machine: the URL, and a key of the default tenant."""
    with serving(create_app(services)) as url:
        _, key = services.keys.issue_key(DEFAULT_TENANT, "a test")
        yield url, key
