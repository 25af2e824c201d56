"""A whole service for tests: everything real but the encoder and, unless asked for, the language model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.cli.client import Client, private
from api.embedded import open_embedded
from api.language_model import NoLanguageModel
from api.services import Services
from api.settings import Settings
from retrieval.embedding import HashingEmbedder
from rlm.answering import LanguageModel


@contextmanager
def running(
    home: Path, *, language_model: LanguageModel | None = None, **settings: object
) -> Iterator[tuple[Services, Client]]:
    """Services on `home` with a client that holds a key of the default tenant."""
    made = Settings.model_validate({"home": home, "llm": "none", "min_free_bytes": 0, **settings})
    with (
        open_embedded(made, encoder=HashingEmbedder(), language_model=language_model or NoLanguageModel()) as services,
        private(services) as client,
    ):
        yield services, client
