"""A whole service whose vectors come from an embedding server, and its index moved from one model to another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.build.embedded import open_embedded_services
from api.build.index_access import open_index_access
from api.cli.ingest import iter_files, upload_batch
from api.cli.private_service import open_services_client
from api.client import Client
from api.settings.settings import Settings
from retrieval.encoders.port import HashingEmbedder
from retrieval.errors import EncoderUnavailableError, IndexMismatchError
from tests.support.embedding_server import embeds
from tests.support.misbehaving_openai import misbehaving_openai

NOTES = {
    "whales": "The white whale swims under the northern ice.",
    "ships": "A ship with three masts waits for wind.",
    "tides": "High water is at noon and the ebb runs for six hours.",
}


@pytest.fixture
def url() -> Iterator[str]:
    with misbehaving_openai() as server:
        server.behaviours = [embeds(HashingEmbedder(32))]
        yield server.url


def settings(home: Path, *, encoder: str | None = None, beside: str | None = None) -> Settings:
    return Settings(home=home / "home", models=home / "no models", llm="none", encoder=encoder, encoder_beside=beside)


def ingest(client: Client, folder: Path) -> None:
    folder.mkdir()
    for name, text in NOTES.items():
        (folder / f"{name}.md").write_text(text)
    assert upload_batch(client, list(iter_files([folder])), collection="default", target_state="ready").failed == []


def best(client: Client, query: str) -> str:
    return str(client.post("/v1/search", {"query": query, "mode": "dense"})["hits"][0]["title"])


def test_an_index_keeps_to_the_model_it_was_made_with_until_it_is_moved(tmp_path: Path, url: str) -> None:
    first, second = f"{url} some/model", f"{url} some/model dimension=16"
    with (
        open_embedded_services(settings(tmp_path, encoder=first)) as services,
        open_services_client(services) as client,
    ):
        ingest(client, tmp_path / "notes")
        assert best(client, "white whale") == "whales.md"
    for other in ("minilm", second):
        with pytest.raises(IndexMismatchError, match=other), open_embedded_services(settings(tmp_path, encoder=other)):
            pass
    with pytest.raises(IndexMismatchError) as raised, open_embedded_services(settings(tmp_path)):
        pass
    assert "LEADLINE_ENCODER" in raised.value.hint
    with open_index_access(settings(tmp_path, encoder=first, beside=second), cluster=None) as access:
        switcher = access.build_switcher(lambda _progress, _chunks: None)
        switcher.build_generation(access.encoders.get_by_name(second), access.sparse.fingerprint)
        switcher.switch()
    with (
        open_embedded_services(settings(tmp_path, encoder=second)) as services,
        open_services_client(services) as client,
    ):
        assert best(client, "white whale") == "whales.md"


def test_a_service_does_not_start_on_a_guess_about_a_server_that_is_away(tmp_path: Path) -> None:
    away = "http://127.0.0.1:9/v1 some/model"
    with (
        pytest.raises(EncoderUnavailableError, match="does not respond"),
        open_embedded_services(settings(tmp_path, encoder=away)),
    ):
        pass
    with (
        open_embedded_services(settings(tmp_path, encoder=f"{away} dimension=32")) as services,
        open_services_client(services) as client,
    ):
        assert client.get("/health/live")
