"""`leadline sources` with a real service and a real web site."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

import api.cli.sources
from api.client import Client, NotFoundError, ServiceError
from tests.support.cluster import wait_until
from tests.support.hostile_sources import wait_for_sync
from tests.support.service import running
from tests.support.web_server import WebServer, open_web_server

Run = Callable[..., str]


@pytest.fixture
def site() -> Iterator[WebServer]:
    with open_web_server() as server:
        server.pages["/files/"] = server.list_links
        server.write("whale.txt", b"The whale was white.")
        yield server


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with running(tmp_path / "home", webhook_networks="127.0.0.1/32") as (_, client):
        yield client


@pytest.fixture
def sources(client: Client, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command of `leadline sources` by its words; what it prints."""

    @contextmanager
    def connect(_: object) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(api.cli.sources, "open_client", connect)
    monkeypatch.setattr(api.cli.sources, "read_settings", lambda: None)

    def run(*words: str, input: str | None = None) -> str:
        result = CliRunner().invoke(api.cli.sources.app, list(words), input=input, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        # The service in this process logs to the same stream.
        return "".join(line for line in result.stdout.splitlines(keepends=True) if "request_id=" not in line)

    return run


def test_kinds_are_listed_with_their_options(sources: Run) -> None:
    lines = sources("kinds").splitlines()
    assert any(line.split()[:3] == ["web", "url", "yes"] for line in lines)
    assert {kind["name"] for kind in json.loads(sources("kinds", "--json"))["kinds"]} >= {"web", "slack"}


def test_a_source_is_checked_added_shown_paused_resumed_and_removed(
    sources: Run, client: Client, site: WebServer
) -> None:
    options = ("-o", f"url={site.url}/files/", "-o", 'include=["*.txt"]')
    printed = sources("add", "Papers", "web", *options, "--every", "15m", "--no-wait")
    assert "whale.txt" in printed
    (made,) = client.sources().sources
    assert f"Added source {made.id}." in printed
    assert (made.interval_seconds, made.options["include"]) == (900, ["*.txt"])
    assert "Papers" in sources("list")
    assert f"url = {site.url}/files/" in sources("show", "Papers")
    assert "whale.txt" in sources("check", made.id[:8])
    assert sources("pause", "Papers") == "Papers: It is paused.\n"
    assert client.source(made.id).paused
    assert "It is synchronized every 15 min, next at" in sources("resume", "Papers")
    assert json.loads(sources("history", "Papers", "--json"))[-1]["number"] == 1
    assert "Sync " in sources("sync", "Papers", "--no-wait")
    assert sources("remove", "Papers", "--documents", "keep") == "Removed source Papers. Its documents are kept.\n"
    with pytest.raises(NotFoundError, match="no source whose id begins with 'Papers'"):
        sources("show", "Papers")


def test_a_source_that_cannot_be_read_is_not_added_and_the_reason_is_given(
    sources: Run, client: Client, site: WebServer
) -> None:
    site.stop()
    with pytest.raises(ServiceError) as refused:
        sources("add", "Papers", "web", "-o", f"url={site.url}/files/")
    assert "could not be reached" in refused.value.detail
    assert "Check that the source is running" in refused.value.hint
    assert client.sources().sources == []
    sources("add", "Papers", "web", "-o", f"url={site.url}/files/", "--no-check", "--no-wait", "--every", "never")
    assert client.sources().sources[0].interval_seconds == 0


def test_a_credential_is_read_from_standard_input(sources: Run, site: WebServer) -> None:
    options = ("-o", f"url={site.url}/files/", "-o", "username=ann", "--secret", "password")
    sources("add", "Papers", "web", *options, "--no-wait", input="open sesame\n")
    assert "password is set" in sources("show", "Papers")
    assert site.seen_headers[-1]["Authorization"] == "Basic YW5uOm9wZW4gc2VzYW1l"


def test_an_approval_that_nothing_waits_for_is_refused(sources: Run, client: Client, site: WebServer) -> None:
    client.create_source("Papers", "web", {"url": f"{site.url}/files/"})
    with pytest.raises(ServiceError, match="No sync of this source waits for an approval"):
        sources("approve", "Papers")


def test_failed_documents_are_counted_and_listed_with_the_reason(sources: Run, client: Client, site: WebServer) -> None:
    site.write("broken.pdf", b"%PDF-1.7\nnot a PDF at all")
    made = client.create_source("Papers", "web", {"url": f"{site.url}/files/", "include": ["*.pdf", "*.txt"]})
    wait_until(lambda: client.source(made.id).failed_documents == 1, what="the document has failed")
    wait_for_sync(client, made.id)
    assert "succeeded, 1 document failed" in sources("list")
    shown = sources("show", "Papers")
    assert "succeeded, 1 document failed" in shown
    assert f"`leadline sources items {made.id} --failed`" in shown
    (item,) = client.source_items(made.id, failed=True)
    assert item.document_failure
    (line,) = sources("items", "Papers", "--failed").splitlines()
    assert line.startswith(f"{item.path} (document {item.document}): {item.document_failure.detail}")
    assert json.loads(sources("items", "Papers", "--failed", "--json"))["document"] == item.document
